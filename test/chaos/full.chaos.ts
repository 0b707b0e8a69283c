import { afterEach, it } from 'vitest'
import { expectChaosToHold } from './full-check.js'

/** A longer run: npm run test:chaos -- --minutes 10 */
const FOR_MS = Number(process.env.CHAOS_MINUTES ?? 1) * 60_000

const cleanups: (() => Promise<unknown>)[] = []
afterEach(async () => {
  for (const clean of cleanups.splice(0).reverse()) await clean()
})

it(
  'P1 P2 P3 P4: three instances on both stores, and a fault every few seconds',
  {
    timeout: FOR_MS + 180_000,
  },
  () => expectChaosToHold(FOR_MS, (undo) => cleanups.push(undo)),
)
