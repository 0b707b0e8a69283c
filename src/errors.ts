/**
 * Every code an error of ours can carry: its HTTP status, and whether the same call may succeed later.
 * Codes are stable: programs match on them.
 */
export const CODES = {
  INVALID_ARGUMENT: { status: 400, temporary: false },
  INVALID_NAME: { status: 400, temporary: false },
  INVALID_CURSOR: { status: 400, temporary: false },
  INVALID_JSON: { status: 400, temporary: false },
  RESERVED_TYPE: { status: 400, temporary: false },
  UNAUTHENTICATED: { status: 401, temporary: false },
  FORBIDDEN: { status: 403, temporary: false },
  HOST_NOT_ALLOWED: { status: 403, temporary: false },
  ORIGIN_NOT_ALLOWED: { status: 403, temporary: false },
  NOT_FOUND: { status: 404, temporary: false },
  METHOD_NOT_ALLOWED: { status: 405, temporary: false },
  REQUEST_TIMEOUT: { status: 408, temporary: true },
  DURABILITY_FIXED: { status: 409, temporary: false },
  NO_DURABLE_STORE: { status: 409, temporary: false },
  LOCK_BUSY: { status: 409, temporary: true },
  LOCK_HELD: { status: 409, temporary: false },
  LOCK_LOST: { status: 409, temporary: false },
  DATA_DIR_IN_USE: { status: 409, temporary: false },
  PAYLOAD_TOO_LARGE: { status: 413, temporary: false },
  BATCH_TOO_LARGE: { status: 413, temporary: false },
  URI_TOO_LONG: { status: 414, temporary: false },
  UNSUPPORTED_MEDIA_TYPE: { status: 415, temporary: false },
  RATE_LIMITED: { status: 429, temporary: true },
  TOO_MANY_CONNECTIONS: { status: 429, temporary: true },
  TOO_MANY_WAITERS: { status: 429, temporary: true },
  HEADERS_TOO_LARGE: { status: 431, temporary: false },
  ABORTED: { status: 499, temporary: false },
  INTERNAL: { status: 500, temporary: false },
  CONFIG_INVALID: { status: 500, temporary: false },
  SCHEMA_TOO_NEW: { status: 500, temporary: false },
  CLOSED: { status: 503, temporary: false },
  DRAINING: { status: 503, temporary: true },
  NOT_READY: { status: 503, temporary: true },
  KEYS_UNAVAILABLE: { status: 503, temporary: true },
  FENCES_SPENT: { status: 503, temporary: true },
  FLOW_BUSY: { status: 503, temporary: true },
  OVERLOADED: { status: 503, temporary: true },
  STORE_UNAVAILABLE: { status: 503, temporary: true },
  OUTCOME_UNKNOWN: { status: 503, temporary: true },
  TERM_BUSY: { status: 503, temporary: true },
  TERM_UNKNOWN: { status: 503, temporary: true },
} as const satisfies Record<string, { status: number; temporary: boolean }>

export type Code = keyof typeof CODES

export interface SpillwayErrorOptions {
  readonly cause?: unknown
  /** When a repeat is worth trying, in ms from now. */
  readonly retryAfterMs?: number
}

/** The one error class: what went wrong as a stable `code`, whether a repeat may help, and the cause. */
export class SpillwayError extends Error {
  override readonly name = 'SpillwayError'
  readonly code: Code
  /** HTTP status of the problem answer. */
  readonly status: number
  /** True if the same call may succeed later. */
  readonly temporary: boolean
  readonly retryAfterMs: number | undefined

  constructor(code: Code, message: string, options: SpillwayErrorOptions = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause })
    this.code = code
    this.status = CODES[code].status
    this.temporary = CODES[code].temporary
    this.retryAfterMs = options.retryAfterMs
  }
}

/** The `ABORTED` error for a signal, with the signal's own reason as its cause. */
export function aborted(signal: AbortSignal): SpillwayError {
  return new SpillwayError('ABORTED', 'The call was aborted by its signal', { cause: signal.reason })
}

/** The work's answer, or `ABORTED` as soon as the signal fires: that stops the waiting, not the work. */
export function abortable<T>(work: Promise<T>, signal: AbortSignal | undefined): Promise<T> {
  return signal ? unlessAborted(work, signal) : work
}

async function unlessAborted<T>(work: Promise<T>, signal: AbortSignal): Promise<T> {
  if (signal.aborted) throw aborted(signal)
  let stop: () => void = () => undefined
  const stopped = new Promise<never>((_, reject) => {
    stop = () => reject(aborted(signal))
    signal.addEventListener('abort', stop)
  })
  try {
    return await Promise.race([work, stopped])
  } finally {
    signal.removeEventListener('abort', stop)
  }
}
