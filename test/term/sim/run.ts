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

/** Runs these seeds; `told` may end it by answering false. */
export async function simulate(
  { from, count }: { readonly from: number; readonly count: number },
  Controller: ControllerClass,
  off: Off,
  told: (outcome: Outcome) => boolean,
  scenario: Scenario = torment,
): Promise<void> {
  for (let seed = from; seed < from + count; seed += 1) {
    const run = new Run(seed, Controller, off, scenario)
    // What follows from an event is over before the next: a tick comes when no promise has anything left to do.
    do await new Promise<void>((resolve) => process.nextTick(resolve))
    while (run.step())
    if (!told(run.end())) return
    // Others in this process want to live too.
    await new Promise((resolve) => setImmediate(resolve))
  }
}
