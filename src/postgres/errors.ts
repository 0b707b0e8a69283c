import { SpillwayError } from '../errors.js'

/** SQLSTATE classes and codes that say: the store cannot serve now, the same statement may work later. */
const UNAVAILABLE = /^(?:08...|53...|57P0.|57014|58...|25006|40001|XX000)$/
/** A lock that was not granted in time, or a deadlock that we were chosen to resolve. */
const BUSY = /^(?:55P03|40P01)$/
/** The role, the password or the database is wrong: waiting does not help, but neither is it a bug of ours. */
const REFUSED = /^(?:28...|3D000)$/

const NETWORK = new Set([
  'ECONNREFUSED',
  'ECONNRESET',
  'ECONNABORTED',
  'EPIPE',
  'ETIMEDOUT',
  'EHOSTUNREACH',
  'ENETUNREACH',
  'ENOTFOUND',
  'EAI_AGAIN',
  'ENOENT',
  'EACCES',
])

const BROKEN =
  /terminat|timeout|timed out|not queryable|connection error|Connection ended|PGlite is clos|ended the connection/i

/** The one place that says what an error of PostgreSQL, of its driver or of PGlite means to a caller. */
export function translate(error: unknown): SpillwayError {
  if (error instanceof SpillwayError) return error
  const { code, message } =
    error instanceof Error ? (error as Error & { code?: string }) : { code: '', message: String(error) }
  if (code !== undefined && BUSY.test(code)) {
    return new SpillwayError('FLOW_BUSY', 'Another transaction holds a row that this one needs', {
      cause: error,
      retryAfterMs: 250,
    })
  }
  if (code !== undefined && REFUSED.test(code)) {
    return new SpillwayError('STORE_UNAVAILABLE', `PostgreSQL refused the connection: ${message}`, {
      cause: error,
      retryAfterMs: 1000,
    })
  }
  const away = code !== undefined && (UNAVAILABLE.test(code) || NETWORK.has(code))
  if (away || (!isSqlState(code) && BROKEN.test(message))) {
    return new SpillwayError('STORE_UNAVAILABLE', `PostgreSQL is not available: ${message || code}`, {
      cause: error,
      retryAfterMs: 1000,
    })
  }
  return new SpillwayError('INTERNAL', `PostgreSQL refused a statement: ${message}`, { cause: error })
}

/** Of a statement on a database that this process has closed. */
export function closed(): SpillwayError {
  return new SpillwayError('CLOSED', 'This Spillway was closed')
}

/** The SQLSTATE behind an error of ours, if a server gave one. */
export function sqlState(error: unknown): string | undefined {
  const cause = error instanceof SpillwayError ? error.cause : error
  if (!(cause instanceof Error)) return undefined
  const { code } = cause as Error & { code?: string }
  return isSqlState(code) ? code : undefined
}

function isSqlState(code: string | undefined): code is string {
  return code !== undefined && /^[0-9A-Z]{5}$/.test(code)
}
