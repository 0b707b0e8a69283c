/** A call that did not succeed: a problem answer of the server, or no answer at all. */
export class ClientError extends Error {
  override readonly name = 'ClientError'
  /** The server's stable code (`FORBIDDEN`, `STORE_UNAVAILABLE`, …), or `NETWORK`, `PROTOCOL` or `HTTP_<status>`. */
  readonly code: string
  /** HTTP status; 0 if there was no answer. */
  readonly status: number
  /** When the server asked for the next attempt, in ms from the answer. */
  readonly retryAfterMs: number | undefined

  constructor(
    code: string,
    message: string,
    options: { status?: number; retryAfterMs?: number | undefined; cause?: unknown } = {},
  ) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause })
    this.code = code
    this.status = options.status ?? 0
    this.retryAfterMs = options.retryAfterMs
  }

  /** True if the same call may succeed later: no answer, an overload or a failing store, never a refusal. */
  get temporary(): boolean {
    const { status } = this
    return status < 400 || status >= 500 || status === 408 || status === 425 || status === 429
  }
}

export const networkError = (cause: unknown): ClientError =>
  new ClientError('NETWORK', 'The server did not answer', { cause })

/** Reads a refusal. Source: RFC 9457, with the server's `code` beside it. */
export async function problemOf(response: Response): Promise<ClientError> {
  const { status } = response
  const retryAfterMs = retryAfter(response.headers.get('retry-after'), Date.now())
  const problem = await response.json().catch(() => undefined)
  const text = (name: string): string | undefined => {
    const value: unknown = isRecord(problem) ? problem[name] : undefined
    return typeof value === 'string' && value !== '' ? value : undefined
  }
  const message = text('detail') ?? text('title') ?? `The server answered ${status}`
  return new ClientError(text('code') ?? `HTTP_${status}`, message, { status, retryAfterMs })
}

/** A `Retry-After` in ms: seconds or a date. */
export function retryAfter(value: string | null, now: number): number | undefined {
  if (value === null) return undefined
  if (/^\d+$/.test(value)) return Number(value) * 1000
  const date = Date.parse(value)
  return Number.isNaN(date) ? undefined : Math.max(0, date - now)
}

export function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}
