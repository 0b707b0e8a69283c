import { SpillwayError } from '../errors.js'

/**
 * What kind of failure it was. `down`: this Redis cannot serve (away, hung, loading, a replica, out of memory for
 * writes …), so another store may have to. `ours`: it refuses what we do (wrong type, no permission, a bug of a
 * script), and would do so for ever.
 */
export type FaultKind = 'down' | 'ours'

/** Why a command failed, and whether it may have been carried out. */
export class RedisFault extends Error {
  override readonly name = 'RedisFault'
  readonly kind: FaultKind
  /** `false`: the command surely did nothing. `true`: it may have, the answer is lost. */
  readonly uncertain: boolean

  constructor(message: string, kind: FaultKind, uncertain: boolean, cause?: unknown) {
    super(message, { cause })
    this.kind = kind
    this.uncertain = uncertain
  }
}

/** Answers with which a server says that it cannot do its work now. */
const UNABLE =
  /^-?(LOADING|READONLY|MASTERDOWN|CLUSTERDOWN|OOM|MISCONF|NOREPLICAS|TRYAGAIN|UNKILLABLE|BUSY)\b/
/** Answers of a server that mean a mistake of ours or of its set-up. */
const REFUSED = /^-?[A-Z][A-Z0-9]{2,}\b/
/** Said by the client before anything was written. */
const NEVER_SENT =
  /isn't writeable|Connection in subscriber mode|ECONNREFUSED|ENOTFOUND|EHOSTUNREACH|ETIMEDOUT: connect/

/** The one place that judges what ioredis throws. */
export function judge(error: unknown): RedisFault {
  if (error instanceof RedisFault) return error
  const message = error instanceof Error ? error.message : String(error)
  // A server's own refusal is final: the command was not carried out.
  if (UNABLE.test(message)) return new RedisFault(message, 'down', false, error)
  const fromServer = error instanceof Error && error.name === 'ReplyError'
  if (fromServer || REFUSED.test(message)) {
    // A script that failed half-way has written what came before.
    return new RedisFault(message, 'ours', /script|Lua|user_script/i.test(message), error)
  }
  return new RedisFault(message, 'down', !NEVER_SENT.test(message), error)
}

/** As callers see it: `STORE_UNAVAILABLE` (temporary) or `INTERNAL`, with the fault as its cause. */
export function translate(error: unknown): SpillwayError {
  if (error instanceof SpillwayError) return error
  const fault = judge(error)
  return fault.kind === 'down'
    ? new SpillwayError('STORE_UNAVAILABLE', `Redis: ${fault.message}`, { cause: fault, retryAfterMs: 1000 })
    : new SpillwayError('INTERNAL', `Redis refused a command: ${fault.message}`, { cause: fault })
}

/** The fault behind an error of ours; undefined if it does not come from Redis. */
export function faultOf(error: unknown): RedisFault | undefined {
  if (error instanceof RedisFault) return error
  return error instanceof Error && error.cause instanceof RedisFault ? error.cause : undefined
}
