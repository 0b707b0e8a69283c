import { SpillwayError } from '../errors.js'
import { type Delivery, type Item, itemEvent } from './delivery.js'
import type { FlowEvent } from './event.js'
import type { Feed } from './feed.js'
import { type Start, Subscription } from './subscription.js'

/** What waits for a slow consumer at most; more is read from the log when it comes for it. */
const QUEUE_EVENTS = 1000
const QUEUE_BYTES = 4 * 1024 * 1024

/**
 * Iterates over a flow from `start` on; gaps are events of type `gap`. It subscribes when it is made, not when
 * it is first asked: what is published in between belongs to it. Ends when the signal fires.
 * Errors: `CLOSED`.
 */
export class EventStream implements AsyncIterableIterator<FlowEvent, undefined> {
  readonly #feed: Feed
  readonly #subscription: Subscription
  readonly #signal: AbortSignal | undefined
  readonly #offClose: () => void
  readonly #queue: Item[] = []
  #bytes = 0
  #over = false
  /** Calls of `next()` that wait; a caller may ask ahead. */
  #waiting: (() => void)[] = []

  constructor(feed: Feed, start: Start, signal?: AbortSignal) {
    this.#feed = feed
    this.#signal = signal
    this.#subscription = new Subscription(feed, start, {
      opened: () => true,
      deliver: (delivery) => this.#take(delivery),
    })
    signal?.addEventListener('abort', this.#end)
    this.#offClose = feed.onClose(() => this.#wake())
    if (signal?.aborted) this.#end()
  }

  [Symbol.asyncIterator](): this {
    return this
  }

  async next(): Promise<IteratorResult<FlowEvent, undefined>> {
    for (;;) {
      if (this.#over) return { done: true, value: undefined }
      const item = this.#queue.shift()
      if (item) {
        this.#bytes -= item.event?.payload.length ?? 0
        return { done: false, value: itemEvent(this.#feed.ref.flow, item) }
      }
      if (this.#feed.closed) {
        this.#end()
        throw new SpillwayError('CLOSED', 'This Spillway was closed')
      }
      this.#subscription.resume()
      await new Promise<void>((resolve) => {
        this.#waiting.push(resolve)
        if (this.#queue.length > 0) this.#wake()
      })
    }
  }

  async return(): Promise<IteratorResult<FlowEvent, undefined>> {
    this.#end()
    return { done: true, value: undefined }
  }

  #take(delivery: Delivery): boolean {
    for (const item of delivery.items) {
      this.#queue.push(item)
      this.#bytes += item.event?.payload.length ?? 0
    }
    this.#wake()
    return this.#queue.length < QUEUE_EVENTS && this.#bytes < QUEUE_BYTES
  }

  #wake(): void {
    for (const resolve of this.#waiting.splice(0)) resolve()
  }

  #end = (): void => {
    if (this.#over) return
    this.#over = true
    this.#subscription.close()
    this.#signal?.removeEventListener('abort', this.#end)
    this.#offClose()
    this.#wake()
  }
}
