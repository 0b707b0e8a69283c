import { randomUUID } from 'node:crypto'
import { setTimeout as delay } from 'node:timers/promises'
import { SpillwayError } from '../errors.js'
import { type Cursor, formatId, parseCursor } from './cursor.js'
import type { FlowEvent } from './event.js'
import { GAP_TYPE } from './event.js'
import type { GroupRef, Groups, Settlement } from './groups.js'

export interface ProcessOptions {
  /** Where a new group begins; default `now`. A group that is known goes on where it was. */
  readonly from?: 'now' | 'beginning' | undefined
  /** Runs of one event before it goes to the dead ones; default 5. */
  readonly maxAttempts?: number | undefined
  /** ms for which a processor that is not heard of keeps its group's work; default 30,000. It is renewed meanwhile. */
  readonly leaseMs?: number | undefined
  /** ms before an event is tried again, doubled each time up to a minute; default 500. */
  readonly retryMs?: number | undefined
  /** Ends the processing after the event that is under way. */
  readonly signal?: AbortSignal | undefined
}

/** Handles one event; a gap comes as an event of type `gap`. The signal fires when the group's work is lost. */
export type Handler = (
  event: FlowEvent,
  context: { readonly attempt: number; readonly signal: AbortSignal },
) => unknown

/** What a processor needs of its flow. */
export interface Source {
  head(): Promise<{ readonly term: number; readonly seq: number }>
  subscribe(after: string, signal: AbortSignal): AsyncIterable<FlowEvent>
}

/** Of whatever there is, in no term. */
const BEGINNING: Cursor = { term: 0, seq: 0 }
const LONGEST_PAUSE_MS = 60_000
const ERROR_CHARACTERS = 2000

/**
 * Handles a flow's events one after the other for a group, at least once each: whoever takes over after a crash
 * begins behind the last one that was settled.
 */
export class Processor {
  readonly #groups: Groups
  readonly #ref: GroupRef
  readonly #source: Source
  readonly #handler: Handler
  readonly #options: {
    readonly from: 'now' | 'beginning'
    readonly maxAttempts: number
    readonly leaseMs: number
    readonly retryMs: number
  }
  readonly #signal: AbortSignal
  readonly #owner = randomUUID()
  /** How far it has come itself: a store that has lost the group goes on there. */
  #place: Cursor | undefined

  constructor(groups: Groups, ref: GroupRef, source: Source, handler: Handler, options: ProcessOptions) {
    const { from = 'now', maxAttempts = 5, leaseMs = 30_000, retryMs = 500 } = options
    for (const [name, value, least] of [
      ['maxAttempts', maxAttempts, 1],
      ['leaseMs', leaseMs, 100],
      ['retryMs', retryMs, 0],
    ] as const) {
      if (!Number.isInteger(value) || value < least || value > 86_400_000)
        throw new SpillwayError(
          'INVALID_ARGUMENT',
          `${name} must be a whole number from ${least} to 86400000`,
        )
    }
    this.#groups = groups
    this.#ref = ref
    this.#source = source
    this.#handler = handler
    this.#options = { from, maxAttempts, leaseMs, retryMs }
    this.#signal = options.signal ?? new AbortController().signal
  }

  /** Goes on until the signal fires. While a store is away, or somebody else has the group, it waits. */
  async run(): Promise<void> {
    for (let failures = 0; !this.#signal.aborted; ) {
      try {
        await this.#reign()
        failures = 0
      } catch (error) {
        if (!(error instanceof SpillwayError && error.temporary)) throw error
        await this.#pause(Math.min(1000, 50 * 2 ** failures++))
      }
    }
    await this.#groups.release(this.#ref, this.#owner).catch(() => undefined)
  }

  async #reign(): Promise<void> {
    const { leaseMs, from } = this.#options
    const start = this.#place ?? (from === 'beginning' ? BEGINNING : await this.#source.head())
    const claim = await this.#groups.claim(this.#ref, this.#owner, leaseMs, start)
    if (!claim) return this.#pause(leaseMs / 3)
    const lost = new AbortController()
    const renewing = this.#renew(lost)
    try {
      const both = AbortSignal.any([lost.signal, this.#signal])
      this.#place = claim.place
      let { attempts } = claim
      const { term, seq } = claim.place
      for await (const event of this.#source.subscribe(formatId(term, seq), both)) {
        await this.#handle(event, attempts, lost)
        attempts = 0
        if (both.aborted) return
      }
    } finally {
      lost.abort()
      await renewing
    }
  }

  /** Until it is done, or dead, or the work is somebody else's. */
  async #handle(event: FlowEvent, attempts: number, lost: AbortController): Promise<void> {
    const { maxAttempts, retryMs, leaseMs } = this.#options
    const place = parseCursor(event.id) ?? { term: 1, seq: 0 }
    const before = { term: place.term, seq: Math.max(0, place.seq - 1) }
    for (let attempt = attempts + 1; !lost.signal.aborted; attempt++) {
      let outcome: Settlement = { done: place }
      try {
        await this.#handler(event, { attempt, signal: lost.signal })
      } catch (error) {
        const text = (error instanceof Error ? (error.stack ?? error.message) : String(error)).slice(
          0,
          ERROR_CHARACTERS,
        )
        const dead = attempt >= maxAttempts && event.type !== GAP_TYPE
        outcome = dead ? { dead: place, event, attempts: attempt, error: text } : { failed: before }
      }
      if (lost.signal.aborted) return
      if (!(await this.#groups.settle(this.#ref, this.#owner, leaseMs, outcome))) return lost.abort()
      if (!('failed' in outcome)) this.#place = place
      if (!('failed' in outcome) || this.#signal.aborted) return
      await this.#pause(Math.min(LONGEST_PAUSE_MS, retryMs * 2 ** (attempt - 1)))
      if (this.#signal.aborted) return
    }
  }

  /** The claim is believed for as long as it was asked for, on the own clock, and no longer. */
  async #renew(lost: AbortController): Promise<void> {
    const { leaseMs } = this.#options
    let until = performance.now() + leaseMs
    while (!lost.signal.aborted) {
      await delay(leaseMs / 3, undefined, { signal: lost.signal, ref: false }).catch(() => undefined)
      if (lost.signal.aborted) return
      const asked = performance.now()
      const kept = await this.#groups.renew(this.#ref, this.#owner, leaseMs).catch(() => undefined)
      if (kept) until = asked + leaseMs
      if (kept === false || performance.now() >= until) lost.abort()
    }
  }

  async #pause(ms: number): Promise<void> {
    await delay(ms, undefined, { signal: this.#signal }).catch(() => undefined)
  }
}
