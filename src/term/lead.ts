import { randomUUID } from 'node:crypto'
import { SpillwayError } from '../errors.js'
import type { Beat, FleetMember, Opening, Surroundings, TermRedis, TermRow, TermTable } from './ports.js'
import type { Situation, Step } from './states.js'
import type { Participant } from './term.js'
import { DRIFT, type Timing } from './timing.js'

export interface LeadParts {
  readonly life: string
  readonly table: TermTable
  readonly redis: TermRedis | undefined
  readonly timing: Timing
  readonly around: Surroundings
  /** Told of what should not have happened. */
  readonly failed: (error: unknown) => void
  /** Told that something was carried, so that what it was for goes on. */
  readonly carried: () => void
}

interface CarryOver {
  /** Of the term that ends. */
  readonly number: number
  readonly attempt: string
  readonly identity: string | null
  readonly state: 'done' | 'failed'
  readonly count: number
}

/** Who has said for a term that it has stopped, with what it alone knew, and who not. */
interface Said {
  readonly said: ReadonlySet<string>
  readonly silent: ReadonlySet<string>
}

const NOBODY: Said = { said: new Set(), silent: new Set() }

/** What one instance does in a turn: its own stop, and what whoever leads has to do for all. */
export class Lead {
  readonly participants: Participant[] = []
  readonly #parts: LeadParts
  #stopped = 0
  #ledSince: number | undefined
  #carried: CarryOver | undefined
  #carriedOf: Said = NOBODY
  #fleet: readonly FleetMember[] = []
  #bulkFor = 0
  /** What is being carried, one after the other; the beats go on meanwhile. */
  #carrying: Promise<void> = Promise.resolve()
  #underWay = 0

  constructor(parts: LeadParts) {
    this.#parts = parts
  }

  /** The last term for which this instance has stopped. */
  get stopped(): number {
    return this.#stopped
  }

  /** Whether the whole trust of everybody has passed since this instance leads. */
  get waited(): boolean {
    const { around, timing } = this.#parts
    return this.#ledSince !== undefined && around.now() - this.#ledSince >= timing.trustMs * DRIFT
  }

  /** What became of the carry-over at the end of a term. */
  carried(number: number): Situation['carried'] {
    if (this.#underWay > 0) return 'under way'
    if (this.#carried?.number !== number) return 'not yet'
    if (this.#carried.state === 'failed') return 'failed'
    // What it said would be in the new store by nothing else, and an early opening has no quarantine for it.
    return this.#anySaidSince(number) ? 'not yet' : 'done'
  }

  /** Whether somebody has stopped or left since the carry-over began. */
  #anySaidSince(number: number): boolean {
    const now = this.#said(number)
    const { said, silent } = this.#carriedOf
    return [...now.said].some((life) => !said.has(life)) || [...silent].some((life) => !now.silent.has(life))
  }

  #said(number: number): Said {
    const { life: own } = this.#parts
    const lives = { said: new Set<string>(), silent: new Set<string>() }
    for (const { life, stopped } of this.#fleet) {
      // What this instance has just said of itself is not in the beat yet.
      const has = stopped === number || (life === own && this.#stopped === number)
      lives[has ? 'said' : 'silent'].add(life)
    }
    return lives
  }

  /** Takes note of who leads, and of who has stopped. */
  heard({ row: { switcher }, fleet }: Beat): void {
    this.#fleet = fleet
    if (switcher !== this.#parts.life) this.#ledSince = undefined
    // Its own change, of which it got no answer.
    else this.#ledSince ??= this.#parts.around.now()
  }

  /** Carries what can be while PostgreSQL still reigns, which makes the closing short; answers whether that is done. */
  bulked({ number }: TermRow): boolean {
    if (this.#bulkFor !== number) {
      this.#bulkFor = number
      this.#begin(async () => void (await this.#carryAll(number, 'bulk').catch((error) => this.#tell(error))))
    }
    return this.#underWay === 0
  }

  async take(step: Step, row: TermRow): Promise<void> {
    const { life, table, around } = this.#parts
    switch (step.do) {
      case 'nothing':
        return
      case 'close':
        if (await table.close(row.number, step.want, life, step.reason)) this.#ledSince = around.now()
        return
      case 'stop':
        if (await table.stop(row.number, life, this.participants)) this.#stopped = row.number
        return
      case 'take over':
        if (await table.takeOver(row.number, row.switcher, life)) this.#ledSince = around.now()
        return
      case 'turn back':
        await table.turnBack(row.number, life)
        return
      case 'carry':
        this.#carriedOf = this.#said(row.number)
        this.#begin(() => this.#carry(row))
        return
      case 'open':
        await table.open(row.number, life, this.#opening(row, step.early))
        return
    }
  }

  /** Not waited for: without its beats this life would be taken for gone, and an instance would trust nothing. */
  #begin(carry: () => Promise<void>): void {
    this.#underWay += 1
    this.#carrying = this.#carrying.then(carry).finally(() => {
      this.#underWay -= 1
      this.#parts.carried()
    })
  }

  async #carry({ number }: TermRow): Promise<void> {
    const attempt = randomUUID()
    this.#carried = { number, attempt, identity: null, state: 'failed', count: 0 }
    try {
      // The mark comes first: what Redis loses from now on takes it along, or shows in another identity.
      const identity = await this.#mark(number + 1, attempt)
      if (identity === undefined) return
      // Also from one Redis to another: leases that were reclaimed must be known there.
      const count = await this.#carryAll(number, 'rest')
      this.#carried = { number, attempt, identity, state: 'done', count }
    } catch (error) {
      this.#tell(error)
    }
  }

  /** Answers in which Redis; undefined if the mark is not there. */
  async #mark(number: number, attempt: string): Promise<string | undefined> {
    const { redis } = this.#parts
    if (!(await redis?.mark(number, attempt))) return undefined
    const seen = await redis?.look()
    return seen?.marker === `${number}:carrying:${attempt}` ? seen.identity : undefined
  }

  async #carryAll(number: number, part: 'bulk' | 'rest'): Promise<number> {
    let count = 0
    for (const participant of this.participants) count += (await participant.carry?.(number, part)) ?? 0
    return count
  }

  #opening(row: TermRow, early: boolean): Opening {
    const { timing } = this.#parts
    const toRedis = row.want === 'redis'
    const carried = toRedis ? this.#carried : undefined
    return {
      identity: carried?.identity ?? null,
      attempt: carried?.attempt ?? null,
      // Leases that nobody has reclaimed may still be held.
      quarantineMs: early ? 0 : timing.longestLeaseMs * DRIFT,
      healthyMs: row.store === 'redis' ? healthyAfter(row, toRedis, timing) : row.healthyMs,
      early,
      carried: carried?.count ?? 0,
    }
  }

  /** A store that is away is no surprise. */
  #tell(error: unknown): void {
    if (!(error instanceof SpillwayError && error.temporary)) this.#parts.failed(error)
  }
}

/** How long Redis must be well before the next return: twice as long behind a reign there that was short. */
function healthyAfter({ openMs, healthyMs }: TermRow, stays: boolean, timing: Timing): number {
  if (openMs >= timing.flapMs) return timing.healthyMs
  if (stays) return healthyMs
  return Math.min(Math.max(healthyMs * 2, timing.healthyMs), timing.longestHealthyMs)
}
