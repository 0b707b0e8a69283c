import type { HttpOptions } from './http.js'
import type { EventMap, EventOf, FlowEvent, FlowStatus, Gap, StreamStatus } from './messages.js'

export interface ClientOptions extends HttpOptions {
  /** Asks your own server for a ticket to these flows; used for streams instead of the token. Asked again when one runs out. */
  readonly ticket?: (flows: readonly string[]) => Promise<string>
  /** Silence in ms after which a stream counts as dead. Default 45,000: three of the server's heartbeats. */
  readonly silenceMs?: number
}

export interface Draft {
  readonly type: string
  readonly payload: unknown
  readonly source?: string
  /** The same key in the same flow answers the first event: give one, and a repeat is exact. */
  readonly key?: string
}

export interface PublishOptions {
  /** Fixed by a flow's first publish; `durable` where nobody says. */
  readonly durability?: 'durable' | 'fast'
  readonly signal?: AbortSignal
}

export interface HistoryOptions {
  /** Events after this id only; `0`: from the beginning. */
  readonly after?: string
  readonly before?: string
  /** At most 1000. */
  readonly limit?: number
  readonly order?: 'asc' | 'desc'
  readonly signal?: AbortSignal
}

export interface HistoryPage {
  readonly events: readonly FlowEvent[]
  /** What was asked for and can no longer be had. */
  readonly gaps: readonly Gap[]
  /** Give it as `after` (asc) or `before` (desc) for the next page; null at the end. */
  readonly next: string | null
}

export interface FlowsOptions {
  readonly engagement?: string
  readonly status?: FlowStatus
  /** The last active so many, at most 1000; 100 where nobody says. */
  readonly recent?: number
  readonly signal?: AbortSignal
}

export interface SubscribeOptions {
  /** A `cursor` of an earlier message, an event's id (one flow), or `0`: from the beginning. Absent: live from now. */
  readonly after?: string
  /** Ends the subscription quietly. */
  readonly signal?: AbortSignal
  readonly onStatus?: (status: StreamStatus) => void
}

export interface Watch<Map extends EventMap> extends SubscribeOptions {
  /** May return a promise: the next event waits for it. */
  readonly onEvent: (event: EventOf<Map>, cursor: string) => void | Promise<void>
  readonly onGap?: (gap: Gap, cursor: string) => void | Promise<void>
}
