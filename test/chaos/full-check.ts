import { writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect } from 'vitest'
import { chaos } from './full-run.js'
import { chaosSeed } from './random.js'

/** A chaos run that must hold. What it saw is kept where CHAOS_KEEP says, and in any case where it fails. */
export async function expectChaosToHold(
  forMs: number,
  cleanup: (undo: () => Promise<unknown>) => void,
): Promise<void> {
  const seed = chaosSeed()
  const say = (line: string) => void process.stdout.write(`${line}\n`)
  const report = await chaos({ seed, forMs, say, cleanup })
  const { problems, refused, acks, turns } = report
  say(`${acks} events acknowledged, ${turns} turns of the term`)
  const failed = problems.length > 0 || refused.length > 0
  const { CHAOS_KEEP = failed ? join(tmpdir(), `spillway-chaos-${seed}.json`) : undefined } = process.env
  if (CHAOS_KEEP !== undefined) {
    const maps = (_: string, value: unknown) =>
      value instanceof Map || value instanceof Set ? [...value] : value
    writeFileSync(CHAOS_KEEP, JSON.stringify(report, maps, 1))
    say(`kept in ${CHAOS_KEEP}`)
  }
  expect(problems).toEqual([])
  expect(refused).toEqual([])
  expect(acks).toBeGreaterThan(100)
  expect(turns).toBeGreaterThan(1)
}
