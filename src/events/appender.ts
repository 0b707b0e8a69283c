import { randomUUID } from 'node:crypto'
import { setTimeout as delay } from 'node:timers/promises'
import { SpillwayError } from '../errors.js'
import { flowTag } from '../tenant.js'
import type { Draft, EventLog, Outcome } from './log.js'

export interface AppenderOptions {
  /** Batches in flight at once. */
  readonly parallel: number
  /** A batch takes no further publish beyond these. */
  readonly batchEvents?: number
  readonly batchBytes?: number
  /** Bytes of payload that may wait; beyond them publishes are refused with `OVERLOADED`. */
  readonly queueBytes?: number
  /** ms after which a publish that the store does not take is given up. */
  readonly deadlineMs?: number
  /** Monotonic milliseconds. */
  readonly now?: () => number
  /** Told of every stored batch, in commit order within a flow, before its callers. */
  readonly onStored?: (drafts: readonly Draft[], outcomes: readonly Outcome[]) => void
}

/** Errors after which the same batch is sent again. */
const AWAY = new Set(['STORE_UNAVAILABLE', 'TERM_UNKNOWN'])

/** Flows below which a batch is not split further. */
const MIN_SHARE = 32

/** Drafts of one flow that were published together, and who waits for them. */
interface Unit {
  readonly drafts: readonly Draft[]
  readonly bytes: number
  readonly deadline: number
  readonly resolve: (outcomes: readonly Outcome[]) => void
  readonly reject: (error: unknown) => void
}

/** The units of one flow, in publishing order. While a batch holds the flow, later units wait for it. */
interface Lane {
  readonly tag: string
  units: Unit[]
  held: boolean
}

/**
 * Group commit: what is published while batches are in flight goes out together in the next one. A flow is in
 * one batch at a time, so its events keep the order in which they were published.
 */
export class Appender {
  readonly #log: EventLog
  readonly #options: Required<AppenderOptions>
  readonly #lanes = new Map<string, Lane>()
  readonly #ready = new Set<Lane>()
  #inFlight = 0
  #waitingBytes = 0
  #scheduled = false
  #idle: (() => void)[] = []

  constructor(log: EventLog, options: AppenderOptions) {
    this.#log = log
    this.#options = {
      batchEvents: 1000,
      batchBytes: 8 * 1024 * 1024,
      queueBytes: 128 * 1024 * 1024,
      deadlineMs: 10_000,
      now: () => performance.now(),
      onStored: () => undefined,
      ...options,
    }
  }

  /**
   * Appends drafts of one flow, next to each other in its log. Errors: `OVERLOADED`, `FLOW_BUSY`;
   * `STORE_UNAVAILABLE` after the deadline, when the drafts may have been stored: repeat under their keys.
   */
  append(drafts: readonly Draft[]): Promise<readonly Outcome[]> {
    const [first] = drafts
    if (!first) return Promise.resolve([])
    const bytes = drafts.reduce((sum, draft) => sum + draft.payload.length + 200, 0)
    const { queueBytes, deadlineMs, now } = this.#options
    if (this.#waitingBytes > 0 && this.#waitingBytes + bytes > queueBytes) {
      const message = `${queueBytes} bytes of events already wait for their store on this instance`
      return Promise.reject(new SpillwayError('OVERLOADED', message, { retryAfterMs: 1000 }))
    }
    this.#waitingBytes += bytes
    return new Promise((resolve, reject) => {
      const tag = flowTag(first)
      let lane = this.#lanes.get(tag)
      if (!lane) {
        lane = { tag, units: [], held: false }
        this.#lanes.set(tag, lane)
      }
      lane.units.push({ drafts, bytes, deadline: now() + deadlineMs, resolve, reject })
      if (!lane.held && lane.units.length === 1) this.#ready.add(lane)
      this.#schedule()
    })
  }

  /** Resolves when nothing waits and nothing is in flight. */
  async settled(): Promise<void> {
    if (this.#lanes.size === 0) return
    await new Promise<void>((resolve) => this.#idle.push(resolve))
  }

  /** One turn of the event loop later: what is published in this one goes together. */
  #schedule(): void {
    if (this.#scheduled || this.#inFlight >= this.#options.parallel || this.#ready.size === 0) return
    this.#scheduled = true
    setImmediate(() => {
      this.#scheduled = false
      while (this.#inFlight < this.#options.parallel && this.#ready.size > 0) this.#start(this.#takeBatch())
    })
  }

  #takeBatch(): Map<Lane, Unit[]> {
    const { batchEvents, batchBytes, parallel } = this.#options
    // What waits is shared among the free places: while PostgreSQL works on one part, this process prepares the
    // other. All in one batch, the two would wait for each other: a quarter less (bench/publish).
    const share = Math.max(MIN_SHARE, Math.ceil(this.#ready.size / (parallel - this.#inFlight)))
    const batch = new Map<Lane, Unit[]>()
    let events = 0
    let bytes = 0
    for (const lane of this.#ready) {
      if (batch.size === share) break
      const taken: Unit[] = []
      for (const unit of lane.units) {
        if (events > 0 && (events + unit.drafts.length > batchEvents || bytes + unit.bytes > batchBytes))
          break
        taken.push(unit)
        events += unit.drafts.length
        bytes += unit.bytes
      }
      if (taken.length === 0) break
      lane.units = lane.units.slice(taken.length)
      lane.held = true
      batch.set(lane, taken)
      this.#ready.delete(lane)
    }
    return batch
  }

  #start(batch: Map<Lane, Unit[]>): void {
    this.#inFlight += 1
    void this.#store(batch, () => {
      this.#inFlight -= 1
    })
  }

  #release(lanes: Iterable<Lane>): void {
    for (const lane of lanes) {
      lane.held = false
      if (lane.units.length > 0) this.#ready.add(lane)
      else this.#lanes.delete(lane.tag)
    }
    this.#schedule()
    if (this.#lanes.size === 0) for (const resolve of this.#idle.splice(0)) resolve()
  }

  /**
   * Stores a batch; never rejects. `leave` gives its place in flight to another batch: when it is done, or when
   * it starts to wait for a flow that somebody else's transaction holds.
   */
  async #store(batch: Map<Lane, Unit[]>, leave: () => void, attempt = 0): Promise<void> {
    const units = [...batch.values()].flat()
    const drafts = units.flatMap((unit) => unit.drafts)
    let outcomes: readonly Outcome[]
    try {
      outcomes = await this.#appendExactly(drafts, Math.min(...units.map((unit) => unit.deadline)))
    } catch (error) {
      leave()
      return this.#storeApart(batch, units, error)
    }
    leave()
    this.#options.onStored(drafts, outcomes)
    let from = 0
    const put = new Set<Unit>()
    for (const unit of units) {
      const own = outcomes.slice(from, from + unit.drafts.length)
      from += own.length
      if (own.every(isPutOff) && unit.deadline > this.#options.now()) {
        put.add(unit)
        continue
      }
      this.#waitingBytes -= unit.bytes
      unit.resolve(own)
    }
    if (put.size === 0) return this.#release(batch.keys())
    for (const [lane, own] of batch) {
      const left = own.filter((unit) => put.has(unit))
      if (left.length > 0) void this.#storeLater(lane, left, attempt)
      else this.#release([lane])
    }
  }

  /** What its store could not take yet, as the only flow of a batch: the others go on meanwhile. */
  async #storeLater(lane: Lane, units: Unit[], attempt: number): Promise<void> {
    await delay(pauseBefore(attempt + 1))
    await this.#store(new Map([[lane, units]]), () => undefined, attempt + 1)
  }

  /** After a refusal of a whole batch: its flows one half after the other, so that only the culprit fails. */
  async #storeApart(batch: Map<Lane, Unit[]>, units: readonly Unit[], error: unknown): Promise<void> {
    const { code } =
      error instanceof SpillwayError ? error : new SpillwayError('INTERNAL', String(error), { cause: error })
    const lanes = [...batch]
    const noop = () => undefined
    if (code !== 'STORE_UNAVAILABLE' && code !== 'OUTCOME_UNKNOWN' && lanes.length > 1) {
      const middle = lanes.length >> 1
      await Promise.all([
        this.#store(new Map(lanes.slice(0, middle)), noop),
        this.#store(new Map(lanes.slice(middle)), noop),
      ])
      return
    }
    const { now } = this.#options
    const open = code === 'FLOW_BUSY' ? units.filter((unit) => unit.deadline > now()) : []
    for (const unit of units) {
      if (open.includes(unit)) continue
      this.#waitingBytes -= unit.bytes
      unit.reject(error)
    }
    const [lane] = batch.keys()
    if (!lane || open.length === 0) return this.#release(batch.keys())
    await delay(50)
    await this.#store(new Map([[lane, open]]), noop)
  }

  /**
   * Repeats the same batch under the same token while the store is away: stored once, however often sent. Once
   * an answer was lost the batch may be stored, so from then on no other error is final but the deadline: sent
   * apart under other tokens it could be stored twice.
   */
  async #appendExactly(drafts: readonly Draft[], deadline: number): Promise<readonly Outcome[]> {
    const token = randomUUID()
    for (let attempt = 0; ; attempt++) {
      try {
        return await this.#log.append(drafts, { token, repeat: attempt > 0 })
      } catch (error) {
        const code = error instanceof SpillwayError ? error.code : 'INTERNAL'
        if (code === 'OUTCOME_UNKNOWN' || (attempt === 0 && !AWAY.has(code))) throw error
        const pause = pauseBefore(attempt)
        if (this.#options.now() + pause > deadline) {
          const message = 'The store did not confirm the events in time: they may be stored or not'
          throw new SpillwayError('STORE_UNAVAILABLE', message, { cause: error, retryAfterMs: 1000 })
        }
        await delay(pause)
      }
    }
  }
}

/** Nothing of the draft is stored, and it may be later. */
function isPutOff(outcome: Outcome): boolean {
  return 'error' in outcome && AWAY.has(outcome.error.code)
}

function pauseBefore(attempt: number): number {
  return Math.min(500, 20 * 2 ** attempt)
}
