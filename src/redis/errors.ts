import { SpillwayError } from '../errors.js'

/** Why Redis did not do what it was asked to. */
export interface Fault {
  /**
   * `down`: this Redis cannot serve now, so another store may have to. `ours`: it refuses what we do or who we
   * are, and would go on doing so: no reason to turn to another store.
   */
  readonly kind: 'down' | 'ours'
  /** `none`: the command surely changed nothing. `unknown`: it may have been carried out, the answer is lost. */
  readonly outcome: 'none' | 'unknown'
  /** First word of the server's answer (`READONLY`, `WRONGTYPE`); undefined if it gave none. */
  readonly reply: string | undefined
}

/** Answers with which a server says that it cannot do its work now. It has not done the command. */
const UNABLE = new Set([
  'LOADING',
  'READONLY',
  'MASTERDOWN',
  'CLUSTERDOWN',
  'OOM',
  'MISCONF',
  'NOREPLICAS',
  'BUSY',
  'TRYAGAIN',
  'MOVED',
  'ASK',
])

/** What a script's failure carries from Redis 7 on, and before it: the commands before the failing one have run. */
const IN_SCRIPT = /script: |user_script|Error running script/

/** Said by the driver before anything was written to a socket. */
const NEVER_SENT =
  /isn't writeable|^Cluster isn't ready|^connect |getaddrinfo|All sentinels are unreachable|same slots allocation group|Too many Cluster redirections|startup nodes|Failed to refresh slots/

/** Answers under the general code ERR that are about the server's state, not about the command. */
const FULL = /^ERR max number of clients/

/** Codes with which Node refuses a server's certificate. */
const UNTRUSTED = /^(?:DEPTH_ZERO_SELF_SIGNED|SELF_SIGNED|UNABLE_TO_(?:VERIFY|GET)|CERT_|ERR_TLS_CERT)/

/** What the driver says when it could connect to none of several servers, and not why. */
const UNREACHABLE = /^(?:All sentinels are unreachable|Failed to refresh slots cache)/

const faults = new WeakMap<SpillwayError, Fault>()

/** What Redis had against it; undefined for an error that does not come from Redis. */
export function faultOf(error: unknown): Fault | undefined {
  return error instanceof SpillwayError ? faults.get(error) : undefined
}

/** Whether a server was refused for its certificate. */
export function isUntrusted(error: unknown): boolean {
  return error instanceof Error && 'code' in error && UNTRUSTED.test(String(error.code))
}

/** Why none of several servers could be reached, if one of them was refused for its certificate. */
export function reasonOf(error: unknown, untrusted: unknown): unknown {
  return error instanceof Error && UNREACHABLE.test(error.message) ? (untrusted ?? error) : error
}

/**
 * The one place that says what an error of Redis or of its driver means to a caller: `STORE_UNAVAILABLE`
 * (temporary) or `INTERNAL`, with its `faultOf`.
 */
export function translate(error: unknown): SpillwayError {
  if (error instanceof SpillwayError) return error
  const message = error instanceof Error ? error.message : String(error)
  if (error instanceof Error && error.name === 'ReplyError') return refused(message, error)
  if (isUntrusted(error)) {
    const trusted = `its certificate is not trusted (${message}): SPILLWAY_REDIS_TLS_CA names who signed it`
    return failure({ kind: 'down', outcome: 'none' }, trusted, error)
  }
  // Whatever else the driver says, the command had been written or may have been.
  return failure({ kind: 'down', outcome: NEVER_SENT.test(message) ? 'none' : 'unknown' }, message, error)
}

/** Of a call that was not sent because no connection may be used; `cause` is what stands in the way. */
export function notSent(message: string, cause?: unknown): SpillwayError {
  const reason = cause === undefined ? undefined : translate(cause)
  const kind = (reason && faultOf(reason)?.kind) ?? 'down'
  const detail = reason ? `: ${reason.message}` : ''
  return failure({ kind, outcome: 'none' }, `${message}${detail}`, cause)
}

/** Of a call that breaks a rule of this folder: nothing was sent. */
export function misuse(message: string): SpillwayError {
  return failure({ kind: 'ours', outcome: 'none' }, message, undefined)
}

/** Of a call on a client that this process has closed. */
export function closed(): SpillwayError {
  return new SpillwayError('CLOSED', 'This Spillway was closed')
}

function refused(message: string, cause: Error): SpillwayError {
  const [reply] = message.split(' ', 1)
  if ((reply !== undefined && UNABLE.has(reply)) || FULL.test(message)) {
    return failure({ kind: 'down', outcome: 'none', reply }, message, cause)
  }
  const outcome = IN_SCRIPT.test(message) ? 'unknown' : 'none'
  return failure({ kind: 'ours', outcome, reply }, message, cause)
}

function failure(
  fault: Omit<Fault, 'reply'> & { reply?: string | undefined },
  message: string,
  cause: unknown,
): SpillwayError {
  const error =
    fault.kind === 'down'
      ? new SpillwayError('STORE_UNAVAILABLE', `Redis is not available: ${message}`, {
          cause,
          retryAfterMs: 1000,
        })
      : new SpillwayError('INTERNAL', `Redis refused a command: ${message}`, { cause })
  faults.set(error, { reply: undefined, ...fault })
  return error
}
