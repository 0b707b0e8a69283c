import type { Beat } from '../../../src/term/ports.js'
import type { Reason } from '../../../src/term/states.js'
import type { StoreName } from '../../../src/term/term.js'
import type { World } from './world.js'

interface Holding {
  readonly who: string
  readonly fence: number
  /** True time at which the holder's own deadline passes. */
  until: number
}

/** Sees everything in true time, and says what must not have happened. */
export class Checker {
  readonly violations: string[] = []
  /** What happened at all: a run in which nothing did shows nothing. */
  readonly seen = { turns: 0, early: 0, grants: 0, renewals: 0, renewedAcross: 0, refused: 0 }
  readonly #world: World
  readonly #trustMs: number
  readonly #storeOf = new Map<number, StoreName>([[1, 'postgres']])
  readonly #majority = new Map<string, boolean>()
  readonly #beats = new Map<string, number>()
  readonly #holdings = new Map<string, Holding>()
  readonly #fences = new Map<string, number>()
  #newest = 1
  #counted = 0

  constructor(world: World, trustMs: number) {
    this.#world = world
    this.#trustMs = trustMs
  }

  /** A life's beat begins in PostgreSQL. */
  begun(life: string): void {
    this.#beats.set(life, this.beats(life) + 1)
  }

  /** What a life was told with its beat, when it hears it: one that was given up says nothing. */
  beaten(life: string, { fleet }: Beat): void {
    const live = fleet.filter(({ ageMs }) => ageMs < this.#trustMs)
    const down = live.filter(({ view }) => view === 'down')
    this.#majority.set(life, down.length > live.length / 2)
  }

  /** How often a life's beat has begun in PostgreSQL. */
  beats(life: string): number {
    return this.#beats.get(life) ?? 0
  }

  /** A life decides to close, by what it was told last; the statement may be carried out much later. */
  closes(life: string, reason: Reason): void {
    if (reason === 'majority' && !this.#majority.get(life)) this.wrong('a turn without a majority')
  }

  opened(number: number, store: StoreName, early: boolean): void {
    this.seen.turns += 1
    if (early) this.seen.early += 1
    if (number !== this.#newest + 1 || this.#storeOf.has(number)) this.wrong('a number that was given twice')
    this.#newest = number
    this.#storeOf.set(number, store)
  }

  /** An operation's answer counts for whoever asked. */
  counted(number: number, store: StoreName): void {
    if (this.#storeOf.get(number) !== store) this.wrong('two stores in one term')
    if (number < this.#counted) this.wrong('an operation counts after one of a later term')
    this.#counted = Math.max(this.#counted, number)
  }

  /** A store grants what nobody had. */
  granted(inQuarantine: boolean): void {
    this.seen.grants += 1
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
    if (Math.floor(fence / FENCES) < number) this.seen.renewedAcross += 1
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

/** Grants in one term; a fence is the term's number and the grant's. */
export const FENCES = 1e6
