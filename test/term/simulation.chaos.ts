import { beforeAll, describe, expect, it } from 'vitest'
import { Controller } from '../../src/term/controller.js'
import { ALL_GUARDS } from './sim/guards.js'
import { simulate } from './sim/run.js'
import { without } from './sim/without.js'

const RUNS = Number(process.env.TERM_RUNS ?? 1000)
const FROM = Number(process.env.TERM_SEED ?? 1)
/** For each guard; the shares that they give are for docs/term.md. */
const WITHOUT_RUNS = Number(process.env.TERM_WITHOUT_RUNS ?? 300)

beforeAll(() => {
  // Thousands of errors are made, and nobody reads where.
  Error.stackTraceLimit = 0
})

describe('the term, over simulated time, network and stores', () => {
  it(`holds in ${RUNS} runs from seed ${FROM}`, { timeout: 36_000_000 }, async () => {
    const broken: string[] = []
    const begun = process.cpuUsage()
    await simulate({ from: FROM, count: RUNS }, Controller, new Set(), ({ seed, violations }) => {
      if (violations.length > 0) broken.push(`${seed}: ${violations.join(', ')}`)
      return broken.length < 20
    })
    const { user, system } = process.cpuUsage(begun)
    console.log(`${RUNS} runs, ${((user + system) / 1000 / RUNS).toFixed(2)} ms of CPU each`)
    expect(broken).toEqual([])
  })

  it('measures what each guard is for', { timeout: 36_000_000 }, async () => {
    let caught = 0
    for (const guard of ALL_GUARDS) {
      let count = 0
      const kinds = new Set<string>()
      await simulate(
        { from: FROM, count: WITHOUT_RUNS },
        await without(guard),
        new Set([guard]),
        ({ violations }) => {
          if (violations.length > 0) count += 1
          for (const kind of violations) kinds.add(kind)
          return true
        },
      )
      if (count > 0) caught += 1
      console.log(`| ${guard} | ${count} of ${WITHOUT_RUNS} | ${[...kinds].join(', ')} |`)
    }
    expect(caught).toBeGreaterThan(ALL_GUARDS.length / 3)
  })
})
