import type { Controller } from '../../../src/term/controller.js'
import { TIMING, type Timing } from '../../../src/term/timing.js'
import { Checker } from './checker.js'
import type { Off } from './guards.js'
import { Limits } from './limits.js'
import { Locks } from './locks.js'
import { SimPostgres, SimTable } from './postgres.js'
import { SimMarkers, SimRedis } from './redis.js'
import { Host, type World } from './world.js'

export type ControllerClass = typeof Controller

/** The protocol's own times, with shorter leases and returns: the same happens in less time. */
const SIM_TIMING: Timing = {
  ...TIMING,
  okMs: 1000,
  longestLeaseMs: 3000,
  flapMs: 4000,
  healthyMs: 1500,
  longestHealthyMs: 6000,
}

/** One life of an instance. */
export interface Life {
  readonly name: string
  readonly host: Host
  readonly controller: Controller
  readonly table: SimTable
  readonly markers: SimMarkers
}

/** Three instances over one PostgreSQL and one Redis. */
export class Fleet {
  readonly world: World
  readonly postgres: SimPostgres
  readonly redis: SimRedis
  readonly checker: Checker
  readonly lives: (Life | undefined)[] = [undefined, undefined, undefined]
  readonly #off: Off
  readonly #Controller: ControllerClass
  readonly #rates: number[]
  #born = 0

  constructor(world: World, Controller: ControllerClass, off: Off) {
    this.world = world
    this.#off = off
    this.#Controller = Controller
    this.#rates = this.lives.map(() => rate(world))
    this.postgres = new SimPostgres(world, rate(world))
    this.redis = new SimRedis(world, rate(world))
    this.checker = new Checker(world, this, SIM_TIMING.trustMs)
    for (const place of this.lives.keys()) this.begin(place)
  }

  /** Starts a process; one that cannot reach PostgreSQL ends, and another is started. */
  begin(place: number): void {
    if (this.lives[place]) return
    this.#born += 1
    const name = `${'abc'[place]}${this.#born}`
    const host = new Host(this.world, this.#rates[place] ?? 1)
    const table = new SimTable(host, this.postgres, this.checker, this.#off)
    const markers = new SimMarkers(host, this.redis, this.#off)
    const controller = new this.#Controller({
      name,
      table,
      redis: markers,
      timing: SIM_TIMING,
      around: host,
      onStep: ({ step, detail }) => {
        if (step === 'failed') this.checker.wrong(`an error: ${detail}`)
      },
    })
    markers.judge = controller
    const { postgres, checker } = this
    const longestMs = SIM_TIMING.longestLeaseMs
    const off = this.#off
    const parts = { host, who: name, term: controller, table, postgres, markers, checker, off, longestMs }
    const clients = [new Locks(parts), new Limits(parts)]
    for (const client of clients) controller.join(client)
    const life = { name, host, controller, table, markers }
    this.lives[place] = life
    controller.start().then(
      () => {
        for (const client of clients) client.begin()
      },
      () => {
        if (this.lives[place] !== life) return
        this.crash(place)
        this.world.in(300, () => this.begin(place))
      },
    )
  }

  /** Ends without a word. */
  crash(place: number): void {
    const life = this.lives[place]
    if (!life) return
    life.host.alive = false
    this.lives[place] = undefined
  }

  /** Ends as a process does that is told to; its clock goes on, and with it what it believes to hold. */
  async leave(place: number): Promise<void> {
    const life = this.lives[place]
    if (!life) return
    this.lives[place] = undefined
    await life.controller.close()
  }

  /** Whether all trust the same reign. */
  get agrees(): boolean {
    const [first] = this.lives
    const number = first?.controller.reign?.number
    return number !== undefined && this.lives.every((life) => life?.controller.reign?.number === number)
  }
}

/** As far apart as the protocol allows as often as in between. */
function rate(world: World): number {
  return world.chance(0.5) ? world.pick([0.95, 1.05]) : world.between(0.95, 1.05)
}
