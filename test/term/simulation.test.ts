import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { Controller } from '../../src/term/controller.js'
import type { ControllerClass } from './sim/fleet.js'
import { type Guard, OFTEN } from './sim/guards.js'
import { type Outcome, type Scenario, simulate } from './sim/run.js'
import { ACCIDENTS } from './sim/scenarios/index.js'
import { without } from './sim/without.js'

/** `npm run test:term` has as many as it is told. */
const RUNS = 120

/** Until the first that breaks. */
async function breaks(
  Class: ControllerClass,
  off: readonly Guard[],
  count: number,
  scenario?: Scenario,
): Promise<boolean> {
  let broken = false
  const told = ({ violations }: Outcome) => {
    broken ||= violations.length > 0
    return !broken
  }
  await simulate({ from: 1, count }, Class, new Set(off), told, scenario)
  return broken
}

describe('the term, over simulated time, network and stores', () => {
  const { stackTraceLimit } = Error
  beforeAll(() => {
    // Thousands of errors are made, and nobody reads where.
    Error.stackTraceLimit = 0
  })
  afterAll(() => {
    Error.stackTraceLimit = stackTraceLimit
  })

  it(`holds in ${RUNS} runs with random faults`, { timeout: 300_000 }, async () => {
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

  it.each(OFTEN)('breaks without this guard: %s', { timeout: 300_000 }, async (guard) => {
    expect(await breaks(await without(guard), [guard], 200)).toBe(true)
  })

  it.each(ACCIDENTS.map(({ without: guards, scenario }) => [guards.join(' + '), guards, scenario] as const))(
    'holds in its scenario, and breaks there without: %s',
    { timeout: 180_000 },
    async (_, guards, scenario) => {
      expect(await breaks(Controller, [], 12, scenario)).toBe(false)
      expect(await breaks(await without(...guards), guards, 40, scenario)).toBe(true)
      // Of two that stand in for each other one is enough.
      if (guards.length === 1) return
      for (const guard of guards) {
        expect(await breaks(await without(guard), [guard], 12, scenario), guard).toBe(false)
      }
    },
  )
})
