import { randomUUID } from 'node:crypto'
import { SpillwayError } from '../errors.js'
import type { Opening, Surroundings, TermRedis, TermRow, TermTable } from './ports.js'
import type { Situation, Step } from './states.js'
import type { Participant } from './term.js'
import { DRIFT, type Timing } from './timing.js'

export interface LeadParts {
  readonly life: string
  readonly table: TermTable
  readonly redis: TermRedis | undefined
  readonly timing: Timing
  readonly around: Surroundings
  /** Of the Redis that this instance sees. */
  readonly identity: () => string | null
  /** Told of what should not have happened. */
  readonly failed: (error: unknown) => void
}

/** What one instance does in a turn: its own stop, and what whoever leads has to do for all. */
export class Lead {
  readonly participants: Participant[] = []
  readonly #parts: LeadParts
  #stopped = 0
  #ledSince: number | undefined
  #carried: { number: number; attempt: string; state: 'done' | 'failed'; count: number } | undefined
  #bulkFor = 0

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
    return this.#carried?.number === number ? this.#carried.state : 'not yet'
  }

  /** Takes note of who leads. */
  heard({ switcher }: TermRow): void {
    if (switcher !== this.#parts.life) this.#ledSince = undefined
    // Its own change, of which it got no answer.
    else this.#ledSince ??= this.#parts.around.now()
  }

  /** What can be carried while PostgreSQL still reigns makes the closing short. */
  async bulk({ number }: TermRow): Promise<void> {
    if (this.#bulkFor === number) return
    this.#bulkFor = number
    await this.#carryAll(number, 'bulk').catch((error: unknown) => this.#tell(error))
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
        return this.#carry(row)
      case 'open':
        await table.open(row.number, life, this.#opening(row, step.early))
        return
    }
  }

  async #carry(row: TermRow): Promise<void> {
    const attempt = randomUUID()
    try {
      // Also from one Redis to another: leases that were reclaimed must be known there.
      const count = await this.#carryAll(row.number, 'rest')
      const marked = await this.#parts.redis?.mark(row.number + 1, attempt)
      this.#carried = { number: row.number, attempt, state: marked ? 'done' : 'failed', count }
    } catch (error) {
      this.#tell(error)
      this.#carried = { number: row.number, attempt, state: 'failed', count: 0 }
    }
  }

  async #carryAll(number: number, part: 'bulk' | 'rest'): Promise<number> {
    let count = 0
    for (const participant of this.participants) count += (await participant.carry?.(number, part)) ?? 0
    return count
  }

  #opening(row: TermRow, early: boolean): Opening {
    const { timing, identity } = this.#parts
    const toRedis = row.want === 'redis'
    const carried = toRedis ? this.#carried : undefined
    return {
      identity: toRedis ? identity() : null,
      attempt: carried?.attempt ?? null,
      // Leases that nobody has reclaimed may still be held; a new Redis may have lost some.
      quarantineMs: early && !(toRedis && row.store === 'redis') ? 0 : timing.longestLeaseMs * DRIFT,
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
