import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { Controller } from '../../src/term/controller.js'
import type { ControllerClass } from './sim/fleet.js'
import { OFTEN } from './sim/guards.js'
import { simulate } from './sim/run.js'
import { lostClosing, unseenBeat } from './sim/scenarios.js'
import { without } from './sim/without.js'

/** `npm run test:term` has as many as it is told. */
const RUNS = 200

describe('the term, over simulated time, network and stores', () => {
  const { stackTraceLimit } = Error
  beforeAll(() => {
    // Thousands of errors are made, and nobody reads where.
    Error.stackTraceLimit = 0
  })
  afterAll(() => {
    Error.stackTraceLimit = stackTraceLimit
  })

  it(`holds in ${RUNS} runs with random faults`, { timeout: 120_000 }, async () => {
    const broken: string[] = []
    const seen = new Map<string, number>()
    await simulate({ from: 1, count: RUNS }, Controller, new Set(), (outcome) => {
      if (outcome.violations.length > 0) broken.push(`${outcome.seed}: ${outcome.violations.join(', ')}`)
      for (const [what, count] of Object.entries(outcome.seen)) seen.set(what, (seen.get(what) ?? 0) + count)
      return true
    })
    expect(broken).toEqual([])
    // What never happened was not shown either.
    for (const [what, count] of seen) expect(count, what).toBeGreaterThan(RUNS)
  })

  it.each(OFTEN)('breaks without this guard: %s', { timeout: 120_000 }, async (guard) => {
    let broken = 0
    await simulate({ from: 1, count: RUNS }, await without(guard), new Set([guard]), ({ violations }) => {
      if (violations.length > 0) broken += 1
      return broken === 0
    })
    expect(broken).toBeGreaterThan(0)
  })

  it.each([
    ['a first beat is not trusted', unseenBeat],
    ['a leader without its answer leads all the same', lostClosing],
  ] as const)(
    'holds in its scenario, and breaks there without: %s',
    {
      timeout: 60_000,
    },
    async (guard, scenario) => {
      const broken = async (Class: ControllerClass) => {
        let count = 0
        const told = ({ violations }: { readonly violations: readonly string[] }) => {
          if (violations.length > 0) count += 1
          return true
        }
        await simulate({ from: 1, count: 40 }, Class, new Set(), told, scenario)
        return count
      }
      expect(await broken(Controller)).toBe(0)
      expect(await broken(await without(guard))).toBeGreaterThan(4)
    },
  )
})
