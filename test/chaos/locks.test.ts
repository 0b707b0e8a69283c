import { afterEach, expect, it } from 'vitest'
import { lockChaos } from './lock-run.js'
import { chaosSeed } from './random.js'

/** A longer run: npm run test:chaos -- --locks --minutes 10 */
const FOR_MS = Number(process.env.CHAOS_MINUTES ?? 1) * 60_000

const cleanups: (() => Promise<unknown>)[] = []
afterEach(async () => {
  for (const clean of cleanups.splice(0).reverse()) await clean()
})

it('P6: five processes compete for ten locks, and a fault every few seconds', {
  timeout: FOR_MS + 240_000,
}, async () => {
  const report = await lockChaos({
    seed: chaosSeed(),
    forMs: FOR_MS,
    say: (line) => process.stdout.write(`${line}\n`),
    cleanup: (undo) => cleanups.push(undo),
  })
  const { grants, writes, refused, turns } = report
  process.stdout.write(`${grants} grants, ${writes} writes, ${refused} refused, ${turns} turns of the term\n`)
  expect(report.problems).toEqual([])
  expect(grants).toBeGreaterThan(FOR_MS / 1000)
  expect(refused).toBeGreaterThan(0)
})
