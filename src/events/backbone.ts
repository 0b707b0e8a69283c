import type { Config } from '../config.js'
import type { Database } from '../postgres/client.js'
import type { RedisClient } from '../redis/client.js'
import { type FlowRef, flowTag } from '../tenant.js'
import type { Term } from '../term/term.js'
import { Appender } from './appender.js'
import { FastCarry } from './carry.js'
import { FastLog } from './fast.js'
import { Hints } from './hints.js'
import { Kinds } from './kinds.js'
import { type Intake, Lanes } from './lanes.js'
import { Live } from './live.js'
import type { Draft, LogReader, Outcome, RetainedLog, StoredEvent } from './log.js'
import { PairReader } from './pair.js'
import { PostgresLog } from './postgres.js'
import { RedisLog } from './redis.js'
import { storedRuns } from './stored.js'
import { HotTail } from './tail.js'
import { Updates } from './updates.js'

/** Batches of events that PostgreSQL takes at once from one process (bench/publish). */
const PARALLEL_APPENDS = 2
/**
 * Batches of fast events in flight, and events in each: enough that Redis always has the next (bench/fast), and so few
 * that a look at it, which waits behind them, does not take a flood for a failure.
 */
export const FAST_ON_REDIS = { parallel: 4, batchEvents: 250 } as const

export interface BackboneParts {
  readonly config: Config
  readonly database: Database
  readonly term: Term
  readonly redis: RedisClient | undefined
  /** Told of every event that this process has stored in PostgreSQL. */
  readonly onStored: (ref: FlowRef, outcome: Outcome) => void
  /** Told of flows that were published to, and when. */
  readonly onActive: (ref: FlowRef, at: number) => void
}

/** The events of a process: their logs, their way in, and their delivery. */
export interface Backbone {
  readonly log: LogReader
  readonly intake: Intake
  readonly live: Live
  start(): Promise<void>
  close(): Promise<void>
}

/** On PostgreSQL, and on the Redis that may stand beside it. */
export class PostgresBackbone implements Backbone {
  readonly log: LogReader
  /** What retention works on. */
  readonly retained: RetainedLog
  readonly intake: Intake
  readonly live: Live
  readonly #parts: BackboneParts
  readonly #hints: Hints
  readonly #kinds: Kinds
  readonly #tail: HotTail | undefined
  readonly #updates: Updates | undefined
  readonly #offTerm: () => void

  constructor(parts: BackboneParts) {
    const { config, database, term, redis } = parts
    this.#parts = parts
    const postgres = new PostgresLog(database)
    this.#kinds = new Kinds(database)
    this.#tail = redis && new HotTail(redis)
    const retention = { maxEvents: config.retentionEvents, silenceMs: config.retentionAgeMs }
    const kinds = this.#kinds
    const onRedis = redis && new RedisLog({ redis, ...retention, term, beginnings: kinds })
    const fast = new FastLog({ term, redis: onRedis, postgres, beginnings: kinds })
    if (redis) term.join(new FastCarry({ database, redis, kinds, ...retention }))
    this.retained = postgres
    this.log = redis ? new PairReader({ durable: postgres, fast, kinds }) : postgres
    this.live = new Live(this.log, { backstopMs: config.backstopMs, recent: this.#tail })
    this.#hints = new Hints(database, this.live, { alone: redis === undefined })
    this.#updates = redis && new Updates(redis, this.live)
    const onStored = (drafts: readonly Draft[], outcomes: readonly Outcome[]) =>
      this.#stored(drafts, outcomes)
    const parallel = Math.min(PARALLEL_APPENDS, database.parallel)
    this.intake = new Lanes({
      durable: new Appender(postgres, { parallel, onStored }),
      fast: new Appender(fast, redis ? { ...FAST_ON_REDIS, onStored } : { parallel, onStored }),
      kinds,
    })
    // Another store: what was announced by the last one may not have been heard.
    this.#offTerm = term.onChange(() => this.live.hinted('all'))
  }

  start(): Promise<void> {
    return this.#hints.start()
  }

  async close(): Promise<void> {
    this.#offTerm()
    this.live.close()
    this.#updates?.close()
    this.#kinds.close()
    await this.#hints.close()
  }

  #stored(drafts: readonly Draft[], outcomes: readonly Outcome[]): void {
    const onRedis = this.#parts.term.reign?.store === 'redis'
    for (const { ref, fresh } of storedRuns(drafts, outcomes)) {
      const durable = fresh.at(-1)?.durability === 'durable'
      // Streams bound themselves: PostgreSQL would be asked to trim, at each event anew, what it does not have.
      if (durable || !onRedis) for (const outcome of fresh) this.#parts.onStored(ref, outcome)
      const events = fresh.map(({ event }) => event)
      this.#announce(ref, events, { durable, onRedis })
      this.#parts.onActive(ref, events.at(-1)?.at ?? 0)
    }
  }

  /** Tells those who watch the flow, here and elsewhere, the quickest way there is. */
  #announce(
    ref: FlowRef,
    events: readonly StoredEvent[],
    { durable, onRedis }: { durable: boolean; onRedis: boolean },
  ): void {
    this.live.committed(ref, events)
    const { redis } = this.#parts
    if (durable && redis?.usable) this.#tail?.add(ref, events)
    // On Redis the script that stores fast events announces them.
    else if (durable || !onRedis) this.#hints.touched(flowTag(ref))
  }
}
