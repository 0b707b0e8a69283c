/** Names the payload of each event type: `{ phase_started: { phase: string }, … }`. */
export type EventMap = Record<string, unknown>

/** An event as its reader holds it. */
export interface FlowEvent<Type extends string = string, Payload = unknown> {
  /** `term-seq`: identity, order and, on a stream of one flow, cursor. */
  readonly id: string
  readonly flow: string
  readonly type: Type
  readonly payload: Payload
  readonly source: string
  /** When the store took it; ISO 8601 in UTC with milliseconds. */
  readonly timestamp: string
}

/** The events of a map, told apart by `type`. */
export type EventOf<Map extends EventMap> = {
  [Type in keyof Map & string]: FlowEvent<Type, Map[Type]>
}[keyof Map & string]

/** What a publish answers. */
export type PublishedEvent = FlowEvent & { readonly durability: 'durable' | 'fast' }

export type GapReason = 'trimmed' | 'lost' | 'turn' | 'unknown'

/** A stretch of a flow that the reader asked for and cannot have. `from` and `to` are event ids, both inside. */
export interface Gap {
  readonly flow: string
  readonly from: string
  readonly to: string
  readonly reason: GapReason
}

/** What a subscription yields. `cursor` is where to go on after this message: give it as `after`. */
export type Message<Map extends EventMap = EventMap> =
  | { readonly kind: 'event'; readonly event: EventOf<Map>; readonly cursor: string }
  | { readonly kind: 'gap'; readonly gap: Gap; readonly cursor: string }

/** How a subscription's connection is doing. `waiting` comes before every new attempt but the first. */
export type StreamStatus =
  | { readonly state: 'connecting'; readonly attempt: number }
  | { readonly state: 'open' }
  | {
      readonly state: 'waiting'
      readonly attempt: number
      readonly retryInMs: number
      readonly error: Error | undefined
    }
  | { readonly state: 'closed'; readonly error: Error | undefined }

export type FlowStatus = 'pending' | 'running' | 'waiting' | 'completed' | 'failed' | 'cancelled'

export interface FlowMeta {
  readonly status: FlowStatus
  readonly phase: string | null
  /** Per cent. */
  readonly progress: number | null
  readonly updated_at: string
}

export interface FlowSummary extends FlowMeta {
  readonly flow: string
  readonly engagement: string | null
  readonly durability: 'durable' | 'fast' | null
  /** Null before the first event. */
  readonly last_event_id: string | null
  readonly created_at: string
  /** Newest event or last change of the state; a few seconds behind for events. */
  readonly active_at: string
}

/** A flow's state: any JSON; these four names also feed the flow's summary. */
export interface FlowState {
  readonly status?: FlowStatus
  readonly current_phase?: string | null
  /** Per cent. */
  readonly progress_percentage?: number | null
  readonly engagement?: string | null
  readonly [name: string]: unknown
}
