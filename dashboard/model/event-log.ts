import type { FlowEvent, Gap } from '../../client/index.js'

export type LogEntry =
  | { readonly kind: 'event'; readonly key: string; readonly event: FlowEvent }
  | { readonly kind: 'gap'; readonly key: string; readonly gap: Gap }

/** Entries that the page keeps; older ones are in the flow's history. */
export const KEPT = 500
/** Types that can be told apart in the filter; the rest share one. */
const MOST_TYPES = 100

/** The newest entries of a flow, and how many of each type there have been. */
export class EventLog {
  #entries: LogEntry[] = []
  readonly types = new Map<string, number>()
  total = 0
  gaps = 0

  /** Newest first. */
  get newest(): readonly LogEntry[] {
    return [...this.#entries].reverse()
  }

  event(event: FlowEvent): void {
    this.total += 1
    const seen = this.types.get(event.type)
    if (seen !== undefined || this.types.size < MOST_TYPES) this.types.set(event.type, (seen ?? 0) + 1)
    this.#push({ kind: 'event', key: event.id, event })
  }

  gap(gap: Gap): void {
    this.gaps += 1
    this.#push({ kind: 'gap', key: `gap ${this.gaps}`, gap })
  }

  #push(entry: LogEntry): void {
    this.#entries.push(entry)
    // Cut in blocks: a shift at every event would move the whole array each time.
    if (this.#entries.length >= KEPT * 2) this.#entries = this.#entries.slice(-KEPT)
  }
}
