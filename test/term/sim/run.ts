import type { Checker } from './checker.js'
import { type ControllerClass, Fleet } from './fleet.js'
import type { Off } from './guards.js'
import { torment } from './nemesis.js'
import { World } from './world.js'

/** Faults happen so long, and then all must agree within so long. */
const TORMENT_MS = 18_000
const HEAL_MS = 30_000

/** What happens to a fleet, until a true time. */
export type Scenario = (fleet: Fleet, until: number) => void

export interface Outcome {
  readonly seed: number
  readonly violations: readonly string[]
  readonly seen: Checker['seen']
}

/** One run, an event at a time. */
class Run {
  readonly seed: number
  readonly #world: World
  readonly #fleet: Fleet
  #done = false

  constructor(seed: number, Controller: ControllerClass, off: Off, scenario: Scenario) {
    this.seed = seed
    this.#world = new World(seed)
    this.#fleet = new Fleet(this.#world, Controller, off)
    scenario(this.#fleet, TORMENT_MS)
    const look = () => {
      if (this.#fleet.agrees || this.#fleet.checker.violations.length > 0) this.#done = true
      else this.#world.in(250, look)
    }
    this.#world.at(TORMENT_MS + 3000, look)
  }

  /** Whether there is more to come. */
  step(): boolean {
    if (this.#done) return false
    if (this.#world.step(TORMENT_MS + HEAL_MS)) return true
    this.#fleet.checker.wrong('no agreement after all was whole again')
    return false
  }

  end(): Outcome {
    for (const place of this.#fleet.lives.keys()) this.#fleet.crash(place)
    const { violations, seen } = this.#fleet.checker
    return { seed: this.seed, violations, seen }
  }
}

/**
 * Runs side by side in one process: what follows from an event must be over before the next, in each of them. With more
 * of them each takes longer: 10 ms with 8, 21 ms with 200.
 */
const SIDE_BY_SIDE = 8

export interface Seeds {
  readonly from: number
  readonly count: number
  readonly sideBySide?: number
}

/** Runs these seeds; `told` may end it by answering false. */
export async function simulate(
  { from, count, sideBySide = SIDE_BY_SIDE }: Seeds,
  Controller: ControllerClass,
  off: Off,
  told: (outcome: Outcome) => boolean,
  scenario: Scenario = torment,
): Promise<void> {
  let next = from
  const end = from + count
  let going = true
  let runs: Run[] = []
  while (going) {
    while (runs.length < sideBySide && next < end) {
      runs.push(new Run(next, Controller, off, scenario))
      next += 1
    }
    if (runs.length === 0) return
    await new Promise((resolve) => setImmediate(resolve))
    const left: Run[] = []
    for (const run of runs) {
      if (run.step()) left.push(run)
      else going = told(run.end()) && going
    }
    runs = left
  }
  for (const run of runs) run.end()
}
