import type { FlowRef } from '../tenant.js'
import { type Cursor, formatId, type Gap } from './cursor.js'
import { type FlowEvent, GAP_TYPE, toFlowEvent } from './event.js'
import type { StoredEvent } from './log.js'

/** What a reader is handed: an event, or word of events that it cannot have. */
export type Item =
  | { readonly event: StoredEvent; readonly gap?: undefined; readonly cursor: Cursor }
  | { readonly gap: Gap; readonly event?: undefined; readonly cursor: Cursor }

/** A contiguous stretch of one flow, handed to many readers; what it is encoded to is kept for all of them. */
export class Delivery {
  readonly ref: FlowRef
  readonly items: readonly Item[]
  readonly #made = new Map<(delivery: Delivery) => unknown, unknown>()

  constructor(ref: FlowRef, items: readonly Item[]) {
    this.ref = ref
    this.items = items
  }

  /** The reader's cursor behind it. */
  get cursor(): Cursor {
    return (this.items.at(-1) as Item).cursor
  }

  /** `make(this)`, done once however many readers ask. */
  once<T>(make: (delivery: Delivery) => T): T {
    let made = this.#made.get(make)
    if (made === undefined) {
      made = make(this)
      this.#made.set(make, made)
    }
    return made as T
  }
}

export function eventItem(event: StoredEvent): Item {
  return { event, cursor: event }
}

/**
 * Events of the log behind seq `after`, as readers are handed them. Numbers that the log itself does not have (a
 * fast flow whose store changed) are a gap of their own; `term` is the reader's until then.
 */
export function itemsAfter(flow: string, place: Cursor, events: readonly StoredEvent[]): Item[] {
  const items: Item[] = []
  let { term, seq } = place
  for (const event of events) {
    if (event.seq <= seq) continue
    if (event.seq > seq + 1) {
      const [from, to] = [formatId(term, seq + 1), formatId(event.term, event.seq - 1)]
      items.push({
        gap: { flow, from, to, reason: 'turn' },
        cursor: { term: event.term, seq: event.seq - 1 },
      })
    }
    items.push(eventItem(event))
    term = event.term
    seq = event.seq
  }
  return items
}

/** An item as the library's readers hold it: a gap is an event of type `gap`. */
export function itemEvent(flow: string, item: Item): FlowEvent {
  if (item.event) return toFlowEvent(flow, item.event)
  return {
    id: formatId(item.cursor.term, item.cursor.seq),
    flow,
    type: GAP_TYPE,
    payload: item.gap,
    source: 'spillway',
    timestamp: new Date().toISOString(),
  }
}
