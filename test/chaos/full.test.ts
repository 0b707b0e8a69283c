import { afterEach, it } from 'vitest'
import { expectChaosToHold } from './full-check.js'

/** Start and end come on top. */
const FOR_MS = 60_000

const cleanups: (() => Promise<unknown>)[] = []
afterEach(async () => {
  for (const clean of cleanups.splice(0).reverse()) await clean()
})

// A machine that is busy only makes it longer: nothing in it is judged by the clock.
it('P1 P2 P3 P4: three instances on both stores, and a fault every few seconds', { timeout: 300_000 }, () =>
  expectChaosToHold(FOR_MS, (undo) => cleanups.push(undo)),
)
