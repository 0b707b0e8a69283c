import { formatId } from './cursor.js'
import type { Durability, StoredEvent } from './log.js'

/** An event as its reader holds it. */
export interface FlowEvent<Payload = unknown> {
  /** `term-seq`: identity, order and cursor in one. */
  readonly id: string
  readonly flow: string
  readonly type: string
  readonly payload: Payload
  readonly source: string
  /** When the store took it; ISO 8601 in UTC with milliseconds. */
  readonly timestamp: string
}

/** What a publish answers. */
export interface PublishedEvent<Payload = unknown> extends FlowEvent<Payload> {
  readonly durability: Durability
}

/** Type of the event that stands for events that a reader cannot have; its payload is a `Gap`. */
export const GAP_TYPE = 'gap'

/** True for the types that only Spillway itself may use. */
export function isReservedType(type: string): boolean {
  return type === GAP_TYPE || type.startsWith('spillway.')
}

/** `payload` where it is at hand as a value already. */
export function toFlowEvent(
  flow: string,
  stored: StoredEvent,
  payload: unknown = JSON.parse(stored.payload),
): FlowEvent {
  return {
    id: formatId(stored.term, stored.seq),
    flow,
    type: stored.type,
    payload,
    source: stored.source,
    timestamp: isoOf(stored.at),
  }
}

/** The event's JSON text, the payload byte for byte as it was published. */
export function eventJson(flow: string, stored: StoredEvent): string {
  const { term, seq, type, source, payload, at } = stored
  return (
    `{"id":"${formatId(term, seq)}","flow":${JSON.stringify(flow)},"type":${JSON.stringify(type)},` +
    `"payload":${payload},"source":${JSON.stringify(source)},"timestamp":"${isoOf(at)}"}`
  )
}

let lastAt = Number.NaN
let lastIso = ''

/** A batch's events were taken at one moment: its text is made once. */
function isoOf(at: number): string {
  if (at !== lastAt) {
    lastIso = new Date(at).toISOString()
    lastAt = at
  }
  return lastIso
}
