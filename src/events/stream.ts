import { aborted, SpillwayError } from '../errors.js'
import { type Delivery, type Item, itemEvent } from './delivery.js'
import type { FlowEvent } from './event.js'
import type { Feed } from './feed.js'
import { type Start, Subscription } from './subscription.js'

/** What waits for a slow consumer at most; more is read from the log when it comes for it. */
const QUEUE_EVENTS = 1000
const QUEUE_BYTES = 4 * 1024 * 1024

/** Iterates over a flow from `start` on, without end; gaps are events of type `gap`. Errors: `ABORTED`, `CLOSED`. */
export async function* streamEvents(
  feed: Feed,
  start: Start,
  signal?: AbortSignal,
): AsyncGenerator<FlowEvent, void> {
  const queue: Item[] = []
  let bytes = 0
  let wake: () => void = () => undefined
  const subscription = new Subscription(feed, start, {
    opened: () => undefined,
    deliver: (delivery: Delivery) => {
      for (const item of delivery.items) {
        queue.push(item)
        bytes += item.event?.payload.length ?? 0
      }
      wake()
      return queue.length < QUEUE_EVENTS && bytes < QUEUE_BYTES
    },
  })
  const onAbort = () => wake()
  signal?.addEventListener('abort', onAbort)
  const offClose = feed.onClose(onAbort)
  try {
    for (;;) {
      if (signal?.aborted) throw aborted(signal)
      const item = queue.shift()
      if (item) {
        bytes -= item.event?.payload.length ?? 0
        yield itemEvent(feed.ref.flow, item)
        continue
      }
      if (feed.closed) throw new SpillwayError('CLOSED', 'This Spillway was closed')
      subscription.resume()
      await new Promise<void>((resolve) => {
        wake = resolve
        if (queue.length > 0 || signal?.aborted || feed.closed) resolve()
      })
    }
  } finally {
    subscription.close()
    signal?.removeEventListener('abort', onAbort)
    offClose()
  }
}
