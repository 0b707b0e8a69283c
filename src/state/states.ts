import { SpillwayError } from '../errors.js'
import { checkName, type FlowRef } from '../tenant.js'

export const STATUSES = ['pending', 'running', 'waiting', 'completed', 'failed', 'cancelled'] as const

export type FlowStatus = (typeof STATUSES)[number]

/** What a flow says of itself: anything JSON, with these names understood. */
export interface FlowState {
  readonly status?: FlowStatus | undefined
  readonly current_phase?: string | null | undefined
  /** 0 to 100. */
  readonly progress_percentage?: number | null | undefined
  /** The group of flows that this one belongs to. */
  readonly engagement?: string | null | undefined
  readonly [name: string]: unknown
}

/** The few fields of a state that lists and pages need. */
export interface FlowMeta {
  readonly status: FlowStatus
  readonly phase: string | null
  /** 0 to 100. */
  readonly progress: number | null
  /** ISO 8601 in UTC. */
  readonly updated_at: string
}

export interface FlowSummary extends FlowMeta {
  readonly flow: string
  readonly engagement: string | null
  readonly durability: 'durable' | 'fast' | null
  /** The newest event's id; `null` before the first. */
  readonly last_event_id: string | null
  readonly created_at: string
  /** The newest event or the last change of the state, whichever is later; a few seconds behind for events. */
  readonly active_at: string
}

/** A flow that was published to. */
export interface FlowActivity extends FlowRef {
  /** Milliseconds since the epoch, on the store's clock. */
  readonly at: number
}

export interface FlowQuery {
  readonly engagement?: string | undefined
  readonly status?: FlowStatus | undefined
  /** The so many last active ones, newest first, 1 to 1000; default 100. */
  readonly recent?: number | undefined
  /** The same as `recent`. */
  readonly limit?: number | undefined
  readonly signal?: AbortSignal | undefined
}

/** A state that passed the checks, and what is derived from it. */
export interface StateRecord {
  /** JSON text. */
  readonly text: string
  readonly status: FlowStatus
  readonly phase: string | null
  readonly progress: number | null
  readonly engagement: string | null
}

/**
 * State and metadata of flows. PostgreSQL is the truth: a state has no end of its own.
 * Errors: `STORE_UNAVAILABLE` (temporary) from every method.
 */
export interface FlowStates {
  /** Replaces the state. Errors: `INVALID_ARGUMENT`, `INVALID_NAME`, `PAYLOAD_TOO_LARGE`. */
  set(ref: FlowRef, state: FlowState): Promise<FlowMeta>
  get(ref: FlowRef): Promise<FlowState | null>
  clear(ref: FlowRef): Promise<void>
  meta(ref: FlowRef): Promise<FlowMeta | null>
  /** Forgets the states of flows that have no log (any more), untouched for so long; at most `flows` of them. */
  forget(olderThanMs: number, flows: number): Promise<number>
  /**
   * Notes when flows were last published to; never moves one back in time. Answers those that were written: the
   * others are held by another transaction at this moment, or are not there.
   */
  active(flows: readonly FlowActivity[]): Promise<FlowRef[]>
  /**
   * Takes, from all processes, flows that `spillway.publish()` has published to: the caller is the one who notes
   * them. At most `flows` of them, in no order.
   */
  takeActiveBySql(flows: number): Promise<FlowActivity[]>
  /** Order: last active first. */
  list(tenant: string, query: FlowQuery): Promise<FlowSummary[]>
}

/** Bytes of a state as JSON. */
const MAX_STATE_BYTES = 1024 * 1024
const MAX_PHASE_BYTES = 256

/** Checks a state before anything is written. */
export function toStateRecord(state: FlowState): StateRecord {
  if (typeof state !== 'object' || state === null || Array.isArray(state))
    throw invalid('A state must be a JSON object')
  const { status = 'pending', current_phase = null, progress_percentage = null, engagement = null } = state
  if (!STATUSES.includes(status)) throw invalid(`status must be one of ${STATUSES.join(', ')}`)
  if (
    current_phase !== null &&
    (typeof current_phase !== 'string' || Buffer.byteLength(current_phase) > MAX_PHASE_BYTES)
  ) {
    throw invalid(`current_phase must be a string of at most ${MAX_PHASE_BYTES} bytes`)
  }
  if (current_phase?.includes('\u0000')) throw invalid('current_phase must not contain NUL')
  if (
    progress_percentage !== null &&
    !(typeof progress_percentage === 'number' && progress_percentage >= 0 && progress_percentage <= 100)
  ) {
    throw invalid('progress_percentage must be a number from 0 to 100')
  }
  if (engagement !== null) checkName('engagement', engagement)
  const text = jsonOf(state)
  if (!text?.startsWith('{')) throw invalid('A state must be a JSON object')
  if (Buffer.byteLength(text) > MAX_STATE_BYTES) {
    throw new SpillwayError('PAYLOAD_TOO_LARGE', `The state is longer than ${MAX_STATE_BYTES} bytes of JSON`)
  }
  return { text, status, phase: current_phase, progress: progress_percentage, engagement }
}

/** Errors: `INVALID_ARGUMENT`, `INVALID_NAME`. */
export function checkFlowQuery(query: FlowQuery): {
  engagement: string | null
  status: FlowStatus | null
  limit: number
} {
  const { engagement, status, recent, limit = recent ?? 100 } = query
  if (engagement !== undefined) checkName('engagement', engagement)
  if (status !== undefined && !STATUSES.includes(status))
    throw invalid(`status must be one of ${STATUSES.join(', ')}`)
  if (!Number.isInteger(limit) || limit < 1 || limit > 1000)
    throw invalid('limit must be a whole number from 1 to 1000')
  return { engagement: engagement ?? null, status: status ?? null, limit }
}

function jsonOf(state: FlowState): string | undefined {
  try {
    return JSON.stringify(state)
  } catch (error) {
    throw new SpillwayError(
      'INVALID_JSON',
      `The state cannot be written as JSON: ${(error as Error).message}`,
      { cause: error },
    )
  }
}

function invalid(message: string): SpillwayError {
  return new SpillwayError('INVALID_ARGUMENT', message)
}
