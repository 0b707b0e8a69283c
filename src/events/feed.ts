import type { FlowRef } from '../tenant.js'
import { type Cursor, resume } from './cursor.js'
import { Delivery, eventItem, type Item, itemsAfter } from './delivery.js'
import type { LogReader, Page, Position, Recent, StoredEvent } from './log.js'

/** Deliveries kept for readers that are a little behind: events and payload bytes. */
const RECENT_EVENTS = 512
const RECENT_BYTES = 1024 * 1024
/** Payload bytes of one delivery, unless a single event has more. */
const DELIVERY_BYTES = 1024 * 1024

export interface FeedOptions {
  readonly log: LogReader
  readonly recent?: Recent | undefined
  /** The feed may have missed something. */
  readonly onStale: (feed: Feed) => void
  /** Nobody holds the feed any more. */
  readonly onEmpty: (feed: Feed) => void
}

export interface LiveReader {
  /** Gets what follows on the feed's place at which it joined; called in order, synchronously. */
  advance(delivery: Delivery): void
}

/** A page, and where the feed was when it was asked for. */
export interface Look {
  readonly page: Page
  readonly place: Cursor | undefined
}

/**
 * What happens in one flow, as this process sees it: a reader of the log itself, with a place in it, that hands
 * each contiguous stretch to all local readers once.
 */
export class Feed {
  readonly ref: FlowRef
  closed = false
  readonly #options: FeedOptions
  readonly #readers = new Set<LiveReader>()
  readonly #waiting = new Set<() => void>()
  readonly #closers = new Set<() => void>()
  #held = 0
  readonly #pages = new Map<number, Promise<Look>>()
  readonly #recents = new Map<number, Promise<StoredEvent[] | undefined>>()
  #place: Cursor | undefined
  /** The first local commit since the feed was made, before its first look. */
  #early: number | undefined
  #fresh: StoredEvent[] = []
  #flushing = false
  #recent: StoredEvent[] = []
  #recentBytes = 0

  constructor(ref: FlowRef, options: FeedOptions) {
    this.ref = ref
    this.#options = options
  }

  /** How far the feed has come; undefined until its first look. */
  get seq(): number | undefined {
    return this.#fresh.at(-1)?.seq ?? this.#place?.seq
  }

  /** The cursor of a reader that has everything the feed has delivered. */
  get place(): Cursor | undefined {
    return this.#place
  }

  /** As `place`, with what was committed before now delivered first: where a reader of what comes now begins. */
  get present(): Cursor | undefined {
    this.#flush()
    return this.#place
  }

  get empty(): boolean {
    return this.#held === 0
  }

  /** Keeps the feed alive until `release`, also for a reader that has not joined yet. */
  hold(): void {
    this.#held += 1
  }

  release(): void {
    this.#held -= 1
    if (this.#held === 0) this.#options.onEmpty(this)
  }

  /** Joins at the feed's place: everything later comes through `advance`. */
  join(reader: LiveReader): void {
    this.#readers.add(reader)
  }

  leave(reader: LiveReader): void {
    this.#readers.delete(reader)
  }

  /** Resolves after the feed has looked at the log the next time. */
  looked(signal: AbortSignal): Promise<void> {
    return new Promise((resolve) => {
      const done = () => {
        this.#waiting.delete(done)
        signal.removeEventListener('abort', done)
        resolve()
      }
      this.#waiting.add(done)
      signal.addEventListener('abort', done)
      if (signal.aborted || this.closed) done()
      else this.#options.onStale(this)
    })
  }

  /** Recent events after a place, if all of them up to the feed's own place are still at hand. */
  since(cursor: Cursor): readonly StoredEvent[] | undefined {
    const first = this.#recent[0]
    if (!first || !this.#place || cursor.term !== this.#place.term || first.term !== this.#place.term)
      return undefined
    if (cursor.seq < first.seq - 1 || cursor.seq > this.#place.seq) return undefined
    return this.#recent.slice(cursor.seq - first.seq + 1)
  }

  /** A page of the log; readers that resume at the same place share one read. */
  page(after: number, limit: number): Promise<Look> {
    let look = this.#pages.get(after)
    if (!look) {
      const place = this.#place
      look = this.#options.log
        .read(this.ref, { after, order: 'asc', limit })
        .then((page) => ({ page, place }))
        .finally(() => this.#pages.delete(after))
      this.#pages.set(after, look)
    }
    return look
  }

  /** What follows on a reader's place, from where recent events are kept; readers at the same place share one read. */
  recent(cursor: Cursor, limit: number): Promise<readonly StoredEvent[] | undefined> {
    const { recent } = this.#options
    if (!recent || cursor.term !== this.#place?.term || cursor.seq === 0) return Promise.resolve(undefined)
    let events = this.#recents.get(cursor.seq)
    if (!events) {
      events = recent.after(this.ref, cursor, limit).finally(() => this.#recents.delete(cursor.seq))
      this.#recents.set(cursor.seq, events)
    }
    return events
  }

  /** Takes events of a local commit. A hole before them, or another term, is left to the log. */
  offer(events: readonly StoredEvent[]): void {
    if (this.closed) return
    if (!this.#place) this.#early ??= events[0]?.seq
    for (const event of events) {
      const seq = this.seq
      if (seq === undefined || (this.#place && event.term !== this.#place.term) || event.seq > seq + 1) {
        this.#options.onStale(this)
        return
      }
      if (event.seq === seq + 1) this.#fresh.push(event)
    }
    this.#schedule()
  }

  /** Takes what a look at the log, sent when the feed was at `sentAt`, has found behind that. */
  found(position: Position, events: readonly StoredEvent[], sentAt: number): void {
    if (this.closed) return
    this.#flush()
    if (!this.#place) {
      // Who subscribed before that commit waits for it: the look may have come after it.
      const seq = Math.min(position.head, (this.#early ?? Number.POSITIVE_INFINITY) - 1)
      this.#place = { term: position.term, seq }
      if (seq < position.head) this.#options.onStale(this)
    } else {
      // Local commits may have come while the look was under way: then it is the look that is behind.
      const behind =
        position.term === this.#place.term && position.head < this.#place.seq && position.head >= sentAt
      if (!behind) this.#checkPlace(position, this.#place)
      // Sent back, the feed has not been told what lies between here and what it asked for: that is no hole.
      const sentBack = this.#place.seq < sentAt
      if (!sentBack) this.#take(events)
      // Without progress the next look is the backstop's: never a tight loop.
      if (position.head > this.#place.seq && (sentBack || events.length > 0)) this.#options.onStale(this)
    }
    for (const wake of [...this.#waiting]) wake()
  }

  /** Takes a page of the log: what it skips is no more. */
  #take(events: readonly StoredEvent[]): void {
    for (const event of events) {
      const seq = this.seq as number
      if (event.seq > seq + 1) {
        this.#flush()
        this.#deliver(itemsAfter(this.ref.flow, this.#place as Cursor, [event]).slice(0, 1), [])
      }
      if (event.seq > seq) this.#fresh.push(event)
    }
    this.#flush()
  }

  /** Calls `told` when the feed closes; the answer takes that back. */
  onClose(told: () => void): () => void {
    this.#closers.add(told)
    return () => this.#closers.delete(told)
  }

  close(): void {
    this.closed = true
    for (const wake of [...this.#waiting]) wake()
    for (const told of [...this.#closers]) told()
  }

  /** Readers are told if the log has lost what lies between their place and its own. */
  #checkPlace(position: Position, place: Cursor): void {
    const { gap, term, after } = resume(position, place)
    const cursor = { term, seq: after }
    if (gap) this.#deliver([{ gap: { flow: this.ref.flow, ...gap }, cursor }], [])
    if (cursor.term !== place.term || cursor.seq !== place.seq) this.#place = cursor
  }

  /** One delivery a turn of the event loop, however many commits it brought. */
  #schedule(): void {
    if (this.#flushing || this.#fresh.length === 0) return
    this.#flushing = true
    setImmediate(() => {
      this.#flushing = false
      this.#flush()
    })
  }

  #flush(): void {
    const fresh = this.#fresh
    this.#fresh = []
    // In parts: a reader that is full after one of them keeps no more than that.
    for (const part of parts(fresh)) this.#deliver(part.map(eventItem), part)
  }

  #deliver(items: readonly Item[], events: readonly StoredEvent[]): void {
    const delivery = new Delivery(this.ref, items)
    this.#place = delivery.cursor
    this.#remember(events)
    for (const reader of this.#readers) reader.advance(delivery)
  }

  #remember(events: readonly StoredEvent[]): void {
    // After a gap the recent events are not contiguous with what follows.
    if (events.length === 0) {
      this.#recent = []
      this.#recentBytes = 0
    }
    for (const event of events) {
      this.#recent.push(event)
      this.#recentBytes += event.payload.length
    }
    let dropped = 0
    while (this.#recent.length - dropped > RECENT_EVENTS || this.#recentBytes > RECENT_BYTES) {
      this.#recentBytes -= (this.#recent[dropped++] as StoredEvent).payload.length
    }
    if (dropped > 0) this.#recent = this.#recent.slice(dropped)
  }
}

/** Consecutive events, cut where their payloads exceed a delivery. */
function* parts(events: readonly StoredEvent[]): Generator<readonly StoredEvent[]> {
  let from = 0
  let bytes = 0
  for (const [i, { payload }] of events.entries()) {
    if (i > from && bytes + payload.length > DELIVERY_BYTES) {
      yield events.slice(from, i)
      from = i
      bytes = 0
    }
    bytes += payload.length
  }
  if (from < events.length) yield events.slice(from)
}
