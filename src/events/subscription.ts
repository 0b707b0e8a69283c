import { setTimeout as delay } from 'node:timers/promises'
import type { SpillwayError } from '../errors.js'
import { type Cursor, resume } from './cursor.js'
import { Delivery, eventItem, type Item, itemsAfter } from './delivery.js'
import type { Feed, LiveReader } from './feed.js'

/** Events read from the log at a time. */
const PAGE = 500

/** Who a subscription delivers to. */
export interface Sink {
  /** The reader's cursor at the start, once, before anything else; answers whether it wants events now. */
  opened(cursor: Cursor): boolean
  /** Takes a stretch; answers whether it wants more now. After `false` nothing comes until `resume()`. */
  deliver(delivery: Delivery): boolean
  /** A read failed and will be tried again; the subscription stays. */
  delayed?(error: SpillwayError): void
}

/** Where a reader starts: behind a cursor, or with what happens from now on. `invalid`: a cursor nobody issued. */
export type Start = Cursor | 'now' | 'invalid'

/**
 * One reader of one flow: history from its cursor on, then live, each event once and in order. It joins the
 * feed only when it has everything that the feed has handed out, and both happen in one turn of the event
 * loop, so nothing can fall between. A reader that is full falls back to reading the log when it resumes.
 */
export class Subscription implements LiveReader {
  readonly #feed: Feed
  readonly #sink: Sink
  /** Only while something is waited for: an idle reader has none. */
  #stop: AbortController | undefined
  #cursor: Cursor | undefined
  /** It joined the feed at a place of its own: what follows there it reads from the log. */
  #apart = false
  #state: 'reading' | 'live' | 'full' | 'closed' = 'reading'

  constructor(feed: Feed, start: Start, sink: Sink) {
    this.#feed = feed
    this.#sink = sink
    feed.hold()
    void this.#begin(start)
  }

  /** How far the reader has come; undefined before `opened`. */
  get cursor(): Cursor | undefined {
    return this.#cursor
  }

  advance(delivery: Delivery): void {
    if (this.#state !== 'live') return
    if (!this.#apart) {
      this.#hand(delivery)
      return
    }
    this.#feed.leave(this)
    this.#apart = false
    this.#state = 'reading'
    // Not in this turn: who joins again while the feed hands this out would get it once more.
    queueMicrotask(() => void this.#read())
  }

  /** The sink wants more after it had answered `false`. Resolves when it has caught up, or is full again. */
  async resume(): Promise<void> {
    if (this.#state !== 'full') return
    this.#state = 'reading'
    await this.#read()
  }

  close(): void {
    if (this.#state === 'closed') return
    this.#state = 'closed'
    this.#stop?.abort()
    this.#feed.leave(this)
    this.#feed.release()
  }

  async #begin(start: Start): Promise<void> {
    while (this.#feed.place === undefined && !this.#over) await this.#feed.looked(this.#signal)
    const place = this.#feed.place
    if (!place || this.#over) return
    if (start === 'now') return this.#open(this.#feed.present as Cursor, [])
    // A beginning has a term too: a flow that was empty in an older one may have been lost since.
    if (start !== 'invalid') return this.#open(start.term === 0 ? { term: place.term, seq: 0 } : start, [])
    // Nobody can say what such a reader has: it is told so and gets everything.
    const cursor = { term: place.term, seq: 0 }
    this.#open(cursor, [
      { gap: { flow: this.#feed.ref.flow, from: '0', to: '0', reason: 'unknown' }, cursor },
    ])
  }

  #open(cursor: Cursor, items: readonly Item[]): void {
    this.#cursor = cursor
    const wanted = this.#sink.opened(cursor)
    if (items.length > 0) this.#hand(new Delivery(this.#feed.ref, items))
    if (this.#over || this.#state !== 'reading') return
    if (wanted) void this.#read()
    else this.#state = 'full'
  }

  /** Reads from recent events and the log until it has caught up with the feed, then joins it. */
  async #read(): Promise<void> {
    for (let failures = 0; this.#state === 'reading'; ) {
      const cursor = this.#cursor as Cursor
      const place = this.#feed.place
      if (place && isAt(place, cursor)) {
        this.#state = 'live'
        this.#stop = undefined
        this.#feed.join(this)
        return
      }
      const recent = this.#feed.since(cursor)
      if (recent && recent.length > 0) {
        this.#hand(new Delivery(this.#feed.ref, recent.map(eventItem)))
        continue
      }
      try {
        const quick = await this.#feed.recent(cursor, PAGE)
        if (this.#over) return
        if (quick) {
          this.#hand(new Delivery(this.#feed.ref, quick.map(eventItem)))
          continue
        }
        const { page, place: asked } = await this.#feed.page(cursor.seq, PAGE)
        failures = 0
        if (this.#over) return
        const { gap, term, after } = resume(page.position, cursor)
        const at = { term, seq: after }
        const items: Item[] = gap ? [{ gap: { flow: this.#feed.ref.flow, ...gap }, cursor: at }] : []
        // A page from behind the place would pass over what lies between: it is read anew from there.
        if (after >= cursor.seq) items.push(...itemsAfter(this.#feed.ref.flow, at, page.events))
        if (items.length > 0) this.#hand(new Delivery(this.#feed.ref, items))
        else if (page.position.reign) this.#joinApart(at, asked)
        // The log has no more: then it is the feed that is behind, or of another term.
        else await this.#waitForFeed(page.position.term, after)
      } catch (error) {
        this.#sink.delayed?.(error as SpillwayError)
        await this.#pause(Math.min(1000, 50 * 2 ** failures++))
      }
    }
  }

  /**
   * Waits at a place that the feed may never be at: the numbers of a fast flow have holes, and another store may
   * have had more of it. Reads on if the feed has moved since `asked`, when it was read that nothing follows.
   */
  #joinApart(cursor: Cursor, asked: Cursor | undefined): void {
    this.#cursor = cursor
    if (this.#feed.place !== asked) return
    this.#state = 'live'
    this.#apart = true
    this.#stop = undefined
    this.#feed.join(this)
  }

  async #waitForFeed(term: number, seq: number): Promise<void> {
    this.#cursor = { term, seq }
    const { place } = this.#feed
    if (!place || place.seq !== seq || place.term !== term) await this.#feed.looked(this.#signal)
  }

  #hand(delivery: Delivery): void {
    this.#cursor = delivery.cursor
    const wantsMore = this.#sink.deliver(delivery)
    if (wantsMore || this.#over) return
    if (this.#state === 'live') this.#feed.leave(this)
    this.#state = 'full'
  }

  async #pause(ms: number): Promise<void> {
    await delay(ms, undefined, { signal: this.#signal }).catch(() => undefined)
  }

  get #signal(): AbortSignal {
    this.#stop ??= new AbortController()
    if (this.#over) this.#stop.abort()
    return this.#stop.signal
  }

  get #over(): boolean {
    return this.#state === 'closed' || this.#feed.closed
  }
}

/** Whether the reader has what the feed has. At the beginning also if the feed saw it empty in an older term. */
function isAt(place: Cursor, { term, seq }: Cursor): boolean {
  return place.seq === seq && (place.term === term || (seq === 0 && place.term < term))
}
