import { beforeAll, describe, expect, it } from 'vitest'
import { Controller } from '../../src/term/controller.js'
import { ALL_GUARDS, type Guard } from './sim/guards.js'
import { simulate } from './sim/run.js'
import { ACCIDENTS, type Accident } from './sim/scenarios/index.js'
import { without } from './sim/without.js'

const RUNS = Number(process.env.TERM_RUNS ?? 1000)
const FROM = Number(process.env.TERM_SEED ?? 1)
/** After so many runs it says how far it is. */
const CHUNK = 1000
/** For each guard; the shares that they give are for docs/term.md. */
const WITHOUT_RUNS = Number(process.env.TERM_WITHOUT_RUNS ?? 300)
const SCENARIO_RUNS = 40

beforeAll(() => {
  // Thousands of errors are made, and nobody reads where.
  Error.stackTraceLimit = 0
})

/** How many of these runs break without some guards, and how. */
async function broken(guards: readonly Guard[], count: number, scenario?: Accident['scenario']) {
  const Class = await without(...guards)
  const kinds = new Map<string, number>()
  let runs = 0
  await simulate(
    { from: FROM, count },
    Class,
    new Set(guards),
    ({ violations }) => {
      if (violations.length > 0) runs += 1
      for (const kind of violations) kinds.set(kind, (kinds.get(kind) ?? 0) + 1)
      return true
    },
    scenario,
  )
  const seen = [...kinds].sort(([, a], [, b]) => b - a).map(([kind, of]) => `${kind} ${of}`)
  return { runs, text: `${runs} of ${count} | ${seen.join(', ')}` }
}

describe('the term, over simulated time, network and stores', () => {
  it.skipIf(RUNS === 0)(`holds in ${RUNS} runs from seed ${FROM}`, { timeout: 360_000_000 }, async () => {
    const wrong: string[] = []
    const total = new Map<string, number>()
    for (let from = FROM; from < FROM + RUNS && wrong.length === 0; from += CHUNK) {
      const count = Math.min(CHUNK, FROM + RUNS - from)
      const begun = process.cpuUsage()
      await simulate({ from, count }, Controller, new Set(), ({ seed, violations, seen }) => {
        if (violations.length > 0) wrong.push(`${seed}: ${violations.join(', ')}`)
        for (const [what, times] of Object.entries(seen)) total.set(what, (total.get(what) ?? 0) + times)
        return wrong.length < 20
      })
      const { user, system } = process.cpuUsage(begun)
      const each = ((user + system) / 1000 / count).toFixed(1)
      const seen = [...total].map(([what, times]) => `${what} ${times}`).join(', ')
      console.log(`seeds ${from} to ${from + count - 1}, ${each} ms of CPU a run; since ${FROM}: ${seen}`)
    }
    expect(wrong).toEqual([])
  })

  it.skipIf(WITHOUT_RUNS === 0)('measures what each guard is for', { timeout: 36_000_000 }, async () => {
    let caught = 0
    for (const guard of ALL_GUARDS) {
      const { runs, text } = await broken([guard], WITHOUT_RUNS)
      if (runs > 0) caught += 1
      console.log(`| ${guard} | ${text} |`)
    }
    expect(caught).toBeGreaterThan(ALL_GUARDS.length / 2)
  })

  it('shows the accident that a guard prevents', { timeout: 36_000_000 }, async () => {
    for (const { without: guards, scenario } of ACCIDENTS) {
      const held = await broken([], SCENARIO_RUNS, scenario)
      const { runs, text } = await broken(guards, SCENARIO_RUNS, scenario)
      console.log(`| ${scenario.name} | all: ${held.text} | without ${guards.join(' + ')}: ${text} |`)
      if (guards.length > 1) {
        for (const guard of guards)
          console.log(
            `| ${scenario.name} | without ${guard} alone: ${(await broken([guard], SCENARIO_RUNS, scenario)).text} |`,
          )
      }
      expect.soft(held.runs, scenario.name).toBe(0)
      expect.soft(runs, scenario.name).toBeGreaterThan(SCENARIO_RUNS / 10)
    }
  })
})
