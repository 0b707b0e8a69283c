import type { Beat } from '../../../src/term/ports.js'
import type { Reason } from '../../../src/term/states.js'
import { fenceFloor, type StoreName } from '../../../src/term/term.js'
import type { SimPostgres } from './postgres.js'
import type { SimRedis } from './redis.js'
import type { Stored } from './stored.js'
import type { Witness } from './witness.js'
import type { World } from './world.js'

interface Holding {
  readonly who: string
  readonly fence: number
  /** True time at which the holder's own deadline passes. */
  until: number
}

/** Sees everything in true time, and says what must not have happened. */
export class Checker implements Witness {
  readonly violations: string[] = []
  /** What happened at all: a run in which nothing did shows nothing. */
  readonly seen = { turns: 0, early: 0, grants: 0, renewals: 0, renewedAcross: 0, takes: 0, refused: 0 }
  /** Told of each operation that a store carries out, while its asker waits for the answer. */
  watch: (who: string, kind: string) => void = () => undefined
  readonly #world: World
  readonly #postgres: SimPostgres
  readonly #redis: SimRedis
  readonly #trustMs: number
  readonly #storeOf = new Map<number, StoreName>([[1, 'postgres']])
  readonly #majority = new Map<string, boolean>()
  readonly #beats = new Map<string, number>()
  readonly #holdings = new Map<string, Holding>()
  readonly #fences = new Map<string, number>()
  /** The most that each life was told of the limit. */
  readonly #told = new Map<string, number>()
  #toldByPostgres = 0
  /** What is known of the limit in the newest term, for as long as Redis loses nothing. */
  #floor = { taken: 0, losses: 0 }
  #newest = 1
  #counted = 0

  constructor(world: World, stores: { postgres: SimPostgres; redis: SimRedis }, trustMs: number) {
    this.#world = world
    this.#postgres = stores.postgres
    this.#redis = stores.redis
    this.#trustMs = trustMs
  }

  begun(life: string): void {
    this.#beats.set(life, this.beats(life) + 1)
  }

  beaten(life: string, { fleet }: Beat): void {
    const live = fleet.filter(({ ageMs }) => ageMs < this.#trustMs)
    const down = live.filter(({ view }) => view === 'down')
    this.#majority.set(life, down.length > live.length / 2)
  }

  /** How often a life's beat has begun in PostgreSQL. */
  beats(life: string): number {
    return this.#beats.get(life) ?? 0
  }

  closes(life: string, reason: Reason): void {
    if (reason === 'majority' && !this.#majority.get(life)) this.wrong('a turn without a majority')
  }

  opened(number: number, store: StoreName, early: boolean): void {
    this.seen.turns += 1
    if (early) this.seen.early += 1
    if (number !== this.#newest + 1 || this.#storeOf.has(number)) this.wrong('a number that was given twice')
    const before = this.#storeOf.get(this.#newest)
    this.#newest = number
    this.#storeOf.set(number, store)
    const reclaimed = early ? this.#reclaimed(number) : 0
    const known = store === 'redis' && before === 'postgres' ? this.#toldByPostgres : 0
    this.#floor = { taken: Math.max(reclaimed, known), losses: this.#redis.losses }
    if (store === 'redis' && !this.#lostSince(number)) this.#carried(number)
  }

  /** Whether Redis has lost something since a carry-over into this term was marked there. */
  #lostSince(number: number): boolean {
    const { marked, losses } = this.#redis
    return marked.number === number && marked.losses !== losses
  }

  /** All leases that PostgreSQL granted in the term that ends must be in Redis. */
  #carried(number: number): void {
    const { stored } = this.#postgres
    for (const [name, { fence, until }] of stored.leases) {
      const granted = Math.floor(fence / fenceFloor(1)) === number - 1 && until > this.#postgres.now()
      const there = this.#redis.data.leases.get(name)?.fence ?? 0
      if (granted && there < fence) this.wrong('a lease was not carried')
    }
  }

  /** What those were told who have said that they stopped: the new store must know it. */
  #reclaimed(number: number): number {
    const stopped = [...this.#postgres.instances.values()].filter((one) => one.stopped === number - 1)
    return Math.max(0, ...stopped.map(({ name }) => this.#told.get(name) ?? 0))
  }

  /** A store carries out what one of this term has asked for. */
  carriedOut(who: string, kind: string, stored: Stored, number: number): void {
    if (number < stored.newest) this.wrong('a store obeyed an earlier term after a later one')
    stored.newest = Math.max(stored.newest, number)
    this.watch(who, kind)
  }

  /** A take of the limit counts for whoever asked. */
  took(who: string, number: number, taken: number): void {
    this.seen.takes += 1
    this.#told.set(who, Math.max(this.#told.get(who) ?? 0, taken))
    const store = this.#storeOf.get(number)
    if (store === 'postgres') this.#toldByPostgres = Math.max(this.#toldByPostgres, taken)
    const lost = store === 'redis' && (this.#lostSince(number) || this.#floor.losses !== this.#redis.losses)
    if (number === this.#newest && !lost && taken <= this.#floor.taken) this.wrong('a count that went back')
  }

  /** An operation's answer counts for whoever asked. */
  counted(number: number, store: StoreName): void {
    if (this.#storeOf.get(number) !== store) this.wrong('two stores in one term')
    if (number < this.#counted) this.wrong('an operation counts after one of a later term')
    this.#counted = Math.max(this.#counted, number)
  }

  /** A store grants what nobody had. */
  granted(who: string, inQuarantine: boolean): void {
    this.seen.grants += 1
    this.watch(who, 'grant')
    if (inQuarantine) this.wrong('a grant in quarantine')
  }

  holds(name: string, who: string, fence: number, forMs: number): void {
    const other = this.#holdings.get(name)
    if (other && other.until > this.#world.now) this.wrong('two holders')
    if (fence <= (this.#fences.get(name) ?? 0)) this.wrong('a fence that went back')
    this.#fences.set(name, fence)
    this.#holdings.set(name, { who, fence, until: this.#world.now + forMs })
  }

  renewed(name: string, who: string, fence: number, forMs: number, number: number): void {
    this.seen.renewals += 1
    if (Math.floor(fence / fenceFloor(1)) < number) this.seen.renewedAcross += 1
    const holding = this.#holdings.get(name)
    if (holding?.who !== who || holding.fence !== fence) this.wrong('a renewal of what another holds')
    else holding.until = this.#world.now + forMs
  }

  released(name: string, who: string): void {
    const holding = this.#holdings.get(name)
    if (holding?.who === who) holding.until = this.#world.now
  }

  wrong(what: string): void {
    if (!this.violations.includes(what)) this.violations.push(what)
  }
}
