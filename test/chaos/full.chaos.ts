import { writeFileSync } from 'node:fs'
import { afterEach, expect, it } from 'vitest'
import { chaos } from './full-run.js'
import { chaosSeed } from './random.js'

/** A longer run: npm run test:chaos -- --minutes 10 */
const FOR_MS = Number(process.env.CHAOS_MINUTES ?? 1) * 60_000

const cleanups: (() => Promise<unknown>)[] = []
afterEach(async () => {
  for (const clean of cleanups.splice(0).reverse()) await clean()
})

it('P1 P2 P3 P4: three instances on both stores, and a fault every few seconds', {
  timeout: FOR_MS + 180_000,
}, async () => {
  const { CHAOS_KEEP } = process.env
  const report = await chaos({
    seed: chaosSeed(),
    forMs: FOR_MS,
    say: (line) => process.stdout.write(`${line}\n`),
    cleanup: (undo) => cleanups.push(undo),
  })
  process.stdout.write(`${report.acks} events acknowledged, ${report.turns} turns of the term\n`)
  if (CHAOS_KEEP) {
    const maps = (_: string, value: unknown) =>
      value instanceof Map || value instanceof Set ? [...value] : value
    writeFileSync(CHAOS_KEEP, JSON.stringify(report, maps, 1))
  }
  expect(report.problems).toEqual([])
  expect(report.refused).toEqual([])
  expect(report.acks).toBeGreaterThan(100)
  expect(report.turns).toBeGreaterThan(1)
})
