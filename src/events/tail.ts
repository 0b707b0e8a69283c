import { SpillwayError } from '../errors.js'
import type { RedisClient } from '../redis/client.js'
import { key } from '../redis/keys.js'
import { loadScript } from '../redis/scripts.js'
import { type FlowRef, flowTag } from '../tenant.js'
import type { Cursor } from './cursor.js'
import type { Range, Recent, StoredEvent } from './log.js'
import { toEvent } from './redis.js'

const ADD = loadScript(import.meta.url, 'tail-add.lua')
const READ = loadScript(import.meta.url, 'tail-read.lua')

/** Events kept of a flow, at least. */
const KEPT = 1000
/** Silence after which a tail goes: who comes later reads the log. */
const SILENCE_MS = 3_600_000
/** Payload bytes of one read, unless a single event is larger. */
const PAGE_BYTES = 4 * 1024 * 1024

/** Events of a flow that were committed together. */
interface Addition {
  readonly ref: FlowRef
  readonly events: readonly StoredEvent[]
}

/**
 * The newest events of durable flows that somebody hears, in Redis under the same ids: what readers that come back
 * ask for. It only ever holds what PostgreSQL has committed, and is dropped rather than kept with a hole; losing it
 * costs time.
 */
export class HotTail implements Recent {
  readonly #redis: RedisClient
  /** Flows with an addition under way, and what came meanwhile: additions of a flow arrive in their order. */
  readonly #busy = new Map<string, StoredEvent[]>()
  #fresh: Addition[] = []

  constructor(redis: RedisClient) {
    this.#redis = redis
  }

  /** Adds events of one flow that this process has just committed, and announces them. Never fails, never waits. */
  add(ref: FlowRef, events: readonly StoredEvent[]): void {
    if (!this.#redis.usable || events.length === 0) return
    // Who listens to a Cluster is known to each of its servers alone.
    if (this.#redis.kind === 'cluster') this.#take({ ref, events })
    else if (this.#fresh.push({ ref, events }) === 1) queueMicrotask(() => void this.#sift())
  }

  /**
   * Asks once for all flows of a batch which of them somebody hears: the others cost no more than that (bench/full).
   * Who subscribes after the answer looks at the log after it, where these events are already.
   */
  async #sift(): Promise<void> {
    const additions = this.#fresh
    this.#fresh = []
    const channels = additions.map(({ ref }) => key('flow:updates', ref))
    // Without an answer nobody is told, as when what follows fails: readers look at the log.
    const reply = await this.#redis.call('pubsub', 'NUMSUB', ...channels).catch(() => undefined)
    if (!Array.isArray(reply)) return
    for (const [i, addition] of additions.entries()) if (Number(reply[2 * i + 1]) > 0) this.#take(addition)
  }

  #take({ ref, events }: Addition): void {
    const tag = flowTag(ref)
    const waiting = this.#busy.get(tag)
    if (waiting) {
      // Beyond this the tail of the flow begins anew: readers look at the log.
      if (waiting.length < KEPT) waiting.push(...events)
      return
    }
    this.#busy.set(tag, [])
    void this.#send(ref, tag, events)
  }

  async #send(ref: FlowRef, tag: string, events: readonly StoredEvent[]): Promise<void> {
    for (let next = events; next.length > 0; next = this.#busy.get(tag)?.splice(0) ?? []) {
      for (const run of runsOf(next)) {
        // What was not added is a hole to the next addition, and a hint that was lost to readers: both are seen to.
        await this.#write(ref, run).catch(() => undefined)
      }
    }
    this.#busy.delete(tag)
  }

  #write(ref: FlowRef, events: readonly StoredEvent[]): Promise<unknown> {
    const [first] = events as [StoredEvent]
    return this.#redis.run(
      ADD,
      [key('flow:events', ref), key('flow:log', ref)],
      [
        first.term,
        first.seq,
        KEPT,
        SILENCE_MS,
        this.#redis.publishCommand,
        key('flow:updates', ref),
        ...events.flatMap((event) => [event.type, event.source, event.payload, event.at]),
      ],
    )
  }

  after(ref: FlowRef, { term, seq }: Cursor, limit: number): Promise<StoredEvent[] | undefined> {
    if (seq === 0) return Promise.resolve(undefined)
    return this.stretch(ref, { after: seq, order: 'asc', limit }, term)
  }

  async stretch(ref: FlowRef, range: Range, term: number): Promise<StoredEvent[] | undefined> {
    const { after = 0, before = Number.MAX_SAFE_INTEGER, order, limit } = range
    if (!this.#redis.usable) return undefined
    const keys = [key('flow:events', ref), key('flow:log', ref)]
    try {
      const reply = await this.#redis.run(READ, keys, [term, after, before, order, limit, PAGE_BYTES])
      const entries = Array.isArray(reply) ? reply[1] : undefined
      return Array.isArray(entries) && entries.length > 0 ? entries.map(toEvent) : undefined
    } catch (error) {
      // Also what is nobody's fault but ours, a foreign key or a missing right: readers must not depend on a copy.
      if (error instanceof SpillwayError) return undefined
      throw error
    }
  }
}

/**
 * Stretches without a hole. What waited is of several commits, between which another instance may have had its own:
 * numbered on from the first, an event would go under the number of somebody else's.
 */
function* runsOf(events: readonly StoredEvent[]): Generator<readonly StoredEvent[]> {
  let from = 0
  for (let i = 1; i <= events.length; i++) {
    const [before, event] = [events[i - 1], events[i]]
    if (event && before && event.term === before.term && event.seq === before.seq + 1) continue
    yield events.slice(from, i)
    from = i
  }
}
