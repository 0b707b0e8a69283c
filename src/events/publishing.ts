import { SpillwayError } from '../errors.js'
import { checkName, type FlowRef } from '../tenant.js'
import { isReservedType } from './event.js'
import { type Draft, DURABILITIES, type Durability } from './log.js'

/** An event to publish. */
export interface NewEvent<Payload = unknown> {
  /** 1 to 128 bytes; `gap` and `spillway.…` are reserved. */
  readonly type: string
  /** Anything JSON can say; 256 KiB at most as JSON (`SPILLWAY_MAX_PAYLOAD_BYTES`). Default `{}`. */
  readonly payload?: Payload
  /** Who says it; default `system`. */
  readonly source?: string | undefined
  /** Makes a repeat harmless: the same key in the same flow answers the first event. */
  readonly key?: string | undefined
}

/** A payload that is JSON text already: well-formed, on one line, stored as it is. */
export class JsonText {
  readonly text: string

  constructor(text: string) {
    this.text = text
  }
}

export interface PublishLimits {
  readonly maxPayloadBytes: number
  readonly maxBatchEvents: number
}

/**
 * Checks events before anything is written. Errors: `INVALID_ARGUMENT`, `INVALID_NAME`, `RESERVED_TYPE`,
 * `INVALID_JSON`, `PAYLOAD_TOO_LARGE`, `BATCH_TOO_LARGE`.
 */
export function toDrafts(
  ref: FlowRef,
  durability: Durability | null,
  events: readonly NewEvent[],
  limits: PublishLimits,
): Draft[] {
  if (events.length === 0) throw new SpillwayError('INVALID_ARGUMENT', 'There is no event to publish')
  if (events.length > limits.maxBatchEvents) {
    throw new SpillwayError(
      'BATCH_TOO_LARGE',
      `${events.length} events in one publish: ${limits.maxBatchEvents} are allowed`,
    )
  }
  return events.map((event) => toDraft(ref, durability, event, limits.maxPayloadBytes))
}

function toDraft(
  ref: FlowRef,
  durability: Durability | null,
  event: NewEvent,
  maxPayloadBytes: number,
): Draft {
  const type = checkName('type', event.type)
  if (isReservedType(type)) throw new SpillwayError('RESERVED_TYPE', `The event type "${type}" is reserved`)
  const payload = payloadText(event.payload)
  if (payload.length > maxPayloadBytes || Buffer.byteLength(payload) > maxPayloadBytes) {
    throw new SpillwayError(
      'PAYLOAD_TOO_LARGE',
      `The payload is longer than ${maxPayloadBytes} bytes of JSON`,
    )
  }
  return {
    tenant: ref.tenant,
    flow: ref.flow,
    type,
    source: event.source === undefined ? 'system' : checkName('source', event.source),
    payload,
    key: event.key === undefined ? null : checkName('key', event.key),
    durability,
  }
}

function payloadText(payload: unknown): string {
  if (payload === undefined) return '{}'
  if (payload instanceof JsonText) return payload.text
  let text: string | undefined
  try {
    text = JSON.stringify(payload)
  } catch (error) {
    throw new SpillwayError(
      'INVALID_JSON',
      `The payload cannot be written as JSON: ${(error as Error).message}`,
      { cause: error },
    )
  }
  if (text === undefined)
    throw new SpillwayError('INVALID_JSON', `A payload of type ${typeof payload} cannot be written as JSON`)
  return text
}

/** Errors: `INVALID_ARGUMENT`. */
export function checkDurability(value: unknown): Durability | null {
  if (value === undefined || value === null) return null
  const known = DURABILITIES.find((durability) => durability === value)
  if (!known)
    throw new SpillwayError('INVALID_ARGUMENT', `durability must be one of ${DURABILITIES.join(', ')}`)
  return known
}
