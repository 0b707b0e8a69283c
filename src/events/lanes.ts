import { SpillwayError } from '../errors.js'
import type { Appender } from './appender.js'
import type { Kinds } from './kinds.js'
import type { Draft, Outcome } from './log.js'

/** Takes drafts of one flow and answers what became of them. */
export interface Intake {
  /** Errors: as `Appender`. */
  append(drafts: readonly Draft[]): Promise<readonly Outcome[]>
  /** Resolves when nothing waits and nothing is in flight. */
  settled(): Promise<void>
}

/** Brings drafts to the log of their flow: durable ones to PostgreSQL, fast ones to the store that reigns. */
export class Lanes implements Intake {
  readonly #durable: Appender
  readonly #fast: Appender
  readonly #kinds: Kinds

  constructor(parts: { durable: Appender; fast: Appender; kinds: Kinds }) {
    this.#durable = parts.durable
    this.#fast = parts.fast
    this.#kinds = parts.kinds
  }

  append(drafts: readonly Draft[]): Promise<readonly Outcome[]> {
    const [first] = drafts
    if (!first) return Promise.resolve([])
    const asked = first.durability ?? this.#kinds.durabilityOf(first)
    return asked === 'fast' ? this.#fast.append(drafts) : this.#appendDurable(first, drafts)
  }

  async #appendDurable(first: Draft, drafts: readonly Draft[]): Promise<readonly Outcome[]> {
    // Who names none means the flow's own; a new flow's is durable, and whether it is new PostgreSQL knows: it refuses
    // a fast flow whose log is elsewhere.
    const outcomes = await this.#durable.append(drafts)
    const refused = outcomes.every(
      (outcome) => 'error' in outcome && outcome.error.code === 'DURABILITY_FIXED',
    )
    if (first.durability !== null || !refused) {
      const stored = outcomes.find((outcome) => 'event' in outcome)
      if (stored && 'event' in stored) this.#kinds.learn(first, stored.durability)
      return outcomes
    }
    this.#kinds.learn(first, 'fast')
    return this.#fast.append(drafts)
  }

  async settled(): Promise<void> {
    await Promise.all([this.#durable.settled(), this.#fast.settled()])
  }
}

/** The way in where Redis is the only store: every flow is fast. */
export class FastLane implements Intake {
  readonly #fast: Appender

  constructor(fast: Appender) {
    this.#fast = fast
  }

  /** Errors: also `NO_DURABLE_STORE`, before anything is written. */
  append(drafts: readonly Draft[]): Promise<readonly Outcome[]> {
    if (drafts.some(({ durability }) => durability === 'durable')) {
      const message =
        'There is no PostgreSQL to keep a durable event: set DATABASE_URL (embedded: in this process), or publish as fast'
      return Promise.reject(new SpillwayError('NO_DURABLE_STORE', message))
    }
    return this.#fast.append(drafts)
  }

  settled(): Promise<void> {
    return this.#fast.settled()
  }
}
