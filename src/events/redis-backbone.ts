import type { Config } from '../config.js'
import type { RedisClient } from '../redis/client.js'
import type { FlowRef } from '../tenant.js'
import type { Term } from '../term/term.js'
import { Appender } from './appender.js'
import { type Backbone, FAST_ON_REDIS } from './backbone.js'
import { ByTheClock } from './beginnings.js'
import { FastLog } from './fast.js'
import { FastLane, type Intake } from './lanes.js'
import { Live } from './live.js'
import type { Draft, Outcome } from './log.js'
import { RedisLog } from './redis.js'
import { storedRuns } from './stored.js'
import { Updates } from './updates.js'

/** A publish waits for one answer that does not come, and tries once more: then Redis is away. */
const PATIENCE = 2.5

export interface RedisBackboneParts {
  readonly config: Config
  readonly term: Term
  readonly redis: RedisClient
  /** Told of flows that were published to, and when. */
  readonly onActive: (ref: FlowRef, at: number) => void
}

/** The events of a process where Redis is the only store. There is no other to wait for while it is away. */
export class RedisBackbone implements Backbone {
  readonly log: FastLog
  readonly intake: Intake
  readonly live: Live
  readonly #parts: RedisBackboneParts
  readonly #updates: Updates
  readonly #offTerm: () => void

  constructor(parts: RedisBackboneParts) {
    const { config, term, redis } = parts
    this.#parts = parts
    const beginnings = new ByTheClock()
    const onRedis = new RedisLog({
      redis,
      term,
      beginnings,
      maxEvents: config.retentionEvents,
      silenceMs: config.retentionAgeMs,
    })
    this.log = new FastLog({ term, redis: onRedis, postgres: undefined, beginnings })
    this.live = new Live(this.log, { backstopMs: config.backstopMs })
    this.#updates = new Updates(redis, this.live)
    this.intake = new FastLane(
      new Appender(this.log, {
        ...FAST_ON_REDIS,
        deadlineMs: config.redisCommandTimeoutMs * PATIENCE,
        onStored: (drafts, outcomes) => this.#stored(drafts, outcomes),
      }),
    )
    // What was announced in the last term may not have been heard.
    this.#offTerm = term.onChange(() => this.live.hinted('all'))
  }

  async start(): Promise<void> {}

  async close(): Promise<void> {
    this.#offTerm()
    this.live.close()
    this.#updates.close()
  }

  /** The script that stores events announces them, to other processes. */
  #stored(drafts: readonly Draft[], outcomes: readonly Outcome[]): void {
    for (const { ref, fresh } of storedRuns(drafts, outcomes)) {
      this.live.committed(
        ref,
        fresh.map(({ event }) => event),
      )
      this.#parts.onActive(ref, fresh.at(-1)?.event.at ?? 0)
    }
  }
}
