import type { Judge } from '../../../src/term/redis.js'
import { Checker } from '../sim/checker.js'
import type { Off } from '../sim/guards.js'
import { SimPostgres, SimTable } from '../sim/postgres.js'
import { SimMarkers, SimRedis } from '../sim/redis.js'
import { Host, World } from '../sim/world.js'

/** Nothing is late, nothing is lost. */
class WithoutFaults extends World {
  override chance(): boolean {
    return false
  }
}

/** The stores of the simulation without its faults, for one who waits. */
export class CalmWorld {
  readonly world: World = new WithoutFaults(1)
  readonly postgres = new SimPostgres(this.world, 1)
  readonly redis = new SimRedis(this.world, 1)
  readonly host = new Host(this.world, 1)
  readonly table: SimTable
  readonly markers: SimMarkers

  constructor(off: Off) {
    const checker = new Checker(this.world, this, 2000)
    this.table = new SimTable(this.host, this.postgres, checker, off)
    this.markers = new SimMarkers(this.host, this.redis, off)
    this.markers.judge = EVERYBODY
  }

  /** Lets the world go on until it has answered. */
  async wait<T>(answer: Promise<T>): Promise<T> {
    let settled = false
    const done = () => {
      settled = true
    }
    answer.then(done, done)
    for (;;) {
      await new Promise((resolve) => setImmediate(resolve))
      if (settled) return answer
      this.world.step(this.world.now + 1000)
    }
  }
}

/** Whoever answers may be used. */
export const EVERYBODY: Judge = { admits: () => true, nudge: () => undefined }
