import { beforeAll, describe, expect, it } from 'vitest'
import { Controller } from '../../src/term/controller.js'
import type { ControllerClass } from './sim/fleet.js'
import { ALL_GUARDS, type Guard, mutationOf } from './sim/guards.js'
import { type Outcome, simulate } from './sim/run.js'

/** Set by scripts/term.js. */
const RUNS = Number(process.env.TERM_RUNS ?? 1000)
const FROM = Number(process.env.TERM_SEED ?? 1)
const WITHOUT_RUNS = Number(process.env.TERM_WITHOUT_RUNS ?? 0)

beforeAll(() => {
  // Thousands of errors are made, and nobody reads where.
  Error.stackTraceLimit = 0
})

async function without(guard: Guard): Promise<ControllerClass> {
  if (!mutationOf(guard)) return Controller
  const path = `../../src/term/controller.js?without=${ALL_GUARDS.indexOf(guard)}`
  const changed: { Controller: ControllerClass } = await import(path)
  return changed.Controller
}

describe('the term, over simulated time, network and stores', () => {
  it(`holds in ${RUNS} runs from seed ${FROM}`, { timeout: 36_000_000 }, async () => {
    const broken: Outcome[] = []
    const sum: Record<string, number> = {}
    const begun = process.cpuUsage()
    await simulate({ from: FROM, count: RUNS }, Controller, new Set(), (outcome) => {
      if (outcome.violations.length > 0) broken.push(outcome)
      for (const [what, count] of Object.entries(outcome.seen)) sum[what] = (sum[what] ?? 0) + count
      return broken.length < 20
    })
    const { user, system } = process.cpuUsage(begun)
    console.log(`${RUNS} runs, ${((user + system) / 1000 / RUNS).toFixed(2)} ms of CPU each;`, sum)
    expect(broken.map(({ seed, violations }) => `${seed}: ${violations.join(', ')}`)).toEqual([])
    // What never happened was not shown either.
    for (const [what, count] of Object.entries(sum)) expect(count, what).toBeGreaterThan(RUNS)
  })

  it.each(ALL_GUARDS)('breaks without this guard: %s', { timeout: 36_000_000 }, async (guard) => {
    const Mutant = await without(guard)
    let runs = 0
    const broken = new Map<string, number>()
    let count = 0
    await simulate(
      { from: FROM, count: WITHOUT_RUNS || 3000 },
      Mutant,
      new Set([guard]),
      ({ violations }) => {
        runs += 1
        if (violations.length > 0) count += 1
        for (const one of violations) broken.set(one, (broken.get(one) ?? 0) + 1)
        return WITHOUT_RUNS > 0 || count === 0
      },
    )
    console.log(`without "${guard}": ${count} of ${runs} runs broke`, Object.fromEntries(broken))
    expect(count).toBeGreaterThan(0)
  })
})
