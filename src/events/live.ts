import type { FlowRef } from '../tenant.js'
import { flowTag } from '../tenant.js'
import { Feed } from './feed.js'
import type { LogReader, Recent, StoredEvent } from './log.js'

/** Events fetched of one flow at a look. */
const FETCH_LIMIT = 500
/** Flows of one look: each brings at least one event, of any size, into memory. */
const LOOK_FLOWS = 256
/** How long a feed without readers is kept: reconnecting readers find it warm. */
const LINGER_MS = 10_000

export interface LiveOptions {
  /** ms between looks at all watched flows while hints arrive. */
  readonly backstopMs: number
  /** Asked first by readers that come back, and instead of the log while that is away. */
  readonly recent?: Recent | undefined
}

/**
 * Live delivery in this process: one feed a watched flow. What makes a feed look again is only ever a hint (a
 * local commit, a notice, the backstop); what it delivers comes contiguous from commits or from the log.
 */
export class Live {
  readonly log: LogReader
  readonly recent: Recent | undefined
  readonly #options: LiveOptions
  readonly #feeds = new Map<string, Feed>()
  readonly #stale = new Set<Feed>()
  #watcher: ((ref: FlowRef, watched: boolean) => void) | undefined
  #looking = false
  #hearing = true
  #backstop: NodeJS.Timeout | undefined
  #failures = 0
  #closed = false

  constructor(log: LogReader, options: LiveOptions) {
    this.log = log
    this.recent = options.recent
    this.#options = options
  }

  /** The feed of a flow, made if there is none; a closed one once this is closed. */
  feed(ref: FlowRef): Feed {
    const tag = flowTag(ref)
    let feed = this.#feeds.get(tag)
    if (!feed) {
      feed = new Feed(ref, {
        log: this.log,
        recent: this.recent,
        onStale: (stale) => this.#look(stale),
        onEmpty: (empty) => this.#drop(tag, empty),
      })
      if (this.#closed) {
        feed.close()
        return feed
      }
      this.#feeds.set(tag, feed)
      this.#watcher?.(ref, true)
      this.#look(feed)
      this.#arm()
    }
    return feed
  }

  /** Tells `watcher` of every flow that gets a reader here, and of those that lose their last one. */
  onWatch(watcher: (ref: FlowRef, watched: boolean) => void): void {
    this.#watcher = watcher
    for (const feed of this.#feeds.values()) watcher(feed.ref, true)
  }

  /** Events that were just stored, in their order, here or elsewhere. */
  committed(ref: FlowRef, events: readonly StoredEvent[]): void {
    this.#feeds.get(flowTag(ref))?.offer(events)
  }

  /** Something was written to these flows, somewhere. `all`: to some flow. */
  hinted(tags: Iterable<string> | 'all'): void {
    if (tags === 'all') for (const feed of this.#feeds.values()) this.#look(feed)
    else
      for (const tag of tags) {
        const feed = this.#feeds.get(tag)
        if (feed) this.#look(feed)
      }
  }

  /** Whether hints arrive; without them the backstop goes four times as often. */
  hearing(works: boolean): void {
    this.#hearing = works
    clearTimeout(this.#backstop)
    this.#backstop = undefined
    this.#arm()
    this.hinted('all')
  }

  /** Tags of the flows watched in this process, as far as they pass. */
  tags(passes: (tag: string) => boolean): string[] {
    return [...this.#feeds.keys()].filter(passes)
  }

  close(): void {
    this.#closed = true
    clearTimeout(this.#backstop)
    for (const feed of this.#feeds.values()) feed.close()
    this.#feeds.clear()
  }

  #arm(): void {
    if (this.#closed || this.#backstop || this.#feeds.size === 0) return
    const { backstopMs } = this.#options
    this.#backstop = setTimeout(
      () => {
        this.#backstop = undefined
        this.hinted('all')
        this.#arm()
      },
      this.#hearing ? backstopMs : backstopMs / 4,
    )
    this.#backstop.unref()
  }

  #drop(tag: string, feed: Feed): void {
    setTimeout(() => {
      if (!feed.empty || this.#feeds.get(tag) !== feed) return
      this.#feeds.delete(tag)
      this.#watcher?.(feed.ref, false)
      feed.close()
    }, LINGER_MS).unref()
  }

  /** One query at a time for the feeds that have become stale meanwhile. */
  #look(feed: Feed): void {
    this.#stale.add(feed)
    if (this.#looking || this.#closed) return
    this.#looking = true
    setImmediate(() => this.#lookNow())
  }

  async #lookNow(): Promise<void> {
    const feeds = [...this.#stale].slice(0, LOOK_FLOWS)
    for (const feed of feeds) this.#stale.delete(feed)
    try {
      const looks = feeds.map((feed) => ({ ...feed.ref, after: feed.seq ?? Number.MAX_SAFE_INTEGER }))
      const found = await this.log.readSince(looks, FETCH_LIMIT)
      const away: Feed[] = []
      found.forEach((page, i) => {
        const feed = feeds[i] as Feed
        if (page) feed.found(page.position, page.events, looks[i]?.after ?? 0)
        else away.push(feed)
      })
      await this.#wait(away)
      this.#failures = away.length === 0 ? 0 : this.#failures + 1
      this.#lookAgain(away.length === 0 ? 0 : pauseAfter(this.#failures))
    } catch {
      await this.#wait(feeds)
      this.#failures += 1
      this.#lookAgain(pauseAfter(this.#failures))
    }
  }

  /** Their store is away: readers keep what they have, and the feeds look again until it answers. */
  async #wait(feeds: readonly Feed[]): Promise<void> {
    for (const feed of feeds) if (!feed.closed) this.#stale.add(feed)
    await Promise.all(feeds.map((feed) => this.#lookAside(feed)))
  }

  /** What can be said without the log: never the end of a flow, but what follows on a known place. */
  async #lookAside(feed: Feed): Promise<void> {
    const { place } = feed
    const events = place && (await this.recent?.after(feed.ref, place, FETCH_LIMIT).catch(() => undefined))
    if (events) feed.offer(events)
  }

  #lookAgain(afterMs: number): void {
    if (this.#closed || this.#stale.size === 0) this.#looking = false
    else setTimeout(() => this.#lookNow(), afterMs).unref()
  }
}

function pauseAfter(failures: number): number {
  return Math.min(1000, 25 * 2 ** failures)
}
