import { STATUS_CODES } from 'node:http'
import { CODES, type Code, SpillwayError } from '../errors.js'

export const PROBLEM_TYPE = 'application/problem+json'

/** An error as an answer. Source: RFC 9457, with our stable `code` beside its members. */
export interface Problem {
  readonly type: string
  readonly title: string
  readonly status: number
  readonly detail: string
  readonly code: Code
  /** Path of the request; never its query, which may hold a ticket. */
  readonly instance?: string
}

/** What Fastify says in words of its own, in ours. */
const FASTIFY: Readonly<Record<string, Code>> = {
  FST_ERR_BAD_URL: 'INVALID_ARGUMENT',
  FST_ERR_MAX_PARAM_LENGTH: 'URI_TOO_LONG',
  FST_ERR_CTP_BODY_TOO_LARGE: 'PAYLOAD_TOO_LARGE',
  FST_ERR_CTP_INVALID_MEDIA_TYPE: 'UNSUPPORTED_MEDIA_TYPE',
  FST_ERR_CTP_INVALID_CONTENT_LENGTH: 'INVALID_ARGUMENT',
  FST_ERR_CTP_EMPTY_JSON_BODY: 'INVALID_JSON',
}

/** What Node's parser says of a request that never became one. */
const SOCKET: Readonly<Record<string, readonly [Code, string]>> = {
  HPE_HEADER_OVERFLOW: ['HEADERS_TOO_LARGE', 'The request line and headers are too long'],
  ERR_HTTP_REQUEST_TIMEOUT: ['REQUEST_TIMEOUT', 'The request did not arrive in time'],
}

const REPEAT_LATER_MS = 1000

/** Any error as one of ours: what is not known is `INTERNAL` and says nothing of its cause. */
export function toSpillwayError(error: unknown): SpillwayError {
  if (error instanceof SpillwayError) return error
  const { code = '', message = '', statusCode } = isRecord(error) ? error : {}
  const known = typeof code === 'string' ? FASTIFY[code] : undefined
  if (known) return new SpillwayError(known, String(message), { cause: error })
  // An error of a plug-in that blames the request.
  if (typeof statusCode === 'number' && statusCode >= 400 && statusCode < 500) {
    return new SpillwayError(codeOf(statusCode), String(message), { cause: error })
  }
  return new SpillwayError('INTERNAL', 'Something went wrong here; the log says what', { cause: error })
}

export function problemOf(error: SpillwayError, url: string | undefined): Problem {
  const { code, status, message } = error
  return {
    type: `urn:spillway:problem:${code}`,
    title: STATUS_CODES[status] ?? code.toLowerCase().replaceAll('_', ' '),
    status,
    detail: message,
    code,
    ...(url === undefined ? {} : { instance: instanceOf(url) }),
  }
}

/** Headers that go with an error: when to come back, how to authenticate. */
export function problemHeaders(error: SpillwayError): Record<string, string> {
  const headers: Record<string, string> = { 'content-type': PROBLEM_TYPE, 'cache-control': 'no-store' }
  const retryAfterMs = error.retryAfterMs ?? (error.temporary ? REPEAT_LATER_MS : undefined)
  if (retryAfterMs !== undefined) headers['retry-after'] = String(Math.max(1, Math.ceil(retryAfterMs / 1000)))
  if (error.code === 'UNAUTHENTICATED') headers['www-authenticate'] = 'Bearer realm="spillway"'
  return headers
}

/** The whole answer, as bytes on the wire, to a request that Node's parser refused. */
export function rawAnswer(error: Error & { code?: string }): string {
  const [code, message] =
    SOCKET[error.code ?? ''] ?? (['INVALID_ARGUMENT', 'This is not a well-formed HTTP request'] as const)
  const refusal = new SpillwayError(code, message)
  const body = JSON.stringify(problemOf(refusal, undefined))
  const head = Object.entries({
    ...problemHeaders(refusal),
    'content-length': String(Buffer.byteLength(body)),
    connection: 'close',
  }).map(([name, value]) => `${name}: ${value}`)
  return `HTTP/1.1 ${refusal.status} ${STATUS_CODES[refusal.status]}\r\n${head.join('\r\n')}\r\n\r\n${body}`
}

function codeOf(status: number): Code {
  const codes: readonly Code[] = [
    'UNAUTHENTICATED',
    'FORBIDDEN',
    'NOT_FOUND',
    'METHOD_NOT_ALLOWED',
    'PAYLOAD_TOO_LARGE',
    'URI_TOO_LONG',
    'UNSUPPORTED_MEDIA_TYPE',
  ]
  return codes.find((code) => CODES[code].status === status) ?? 'INVALID_ARGUMENT'
}

function instanceOf(url: string): string {
  const path = url.split('?', 1)[0] ?? ''
  return path.length > 512 ? `${path.slice(0, 512)}…` : path
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null
}
