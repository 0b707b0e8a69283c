import { backoff } from './backoff.js'
import { ClientError, networkError, problemOf } from './problem.js'
import { wait } from './wait.js'

export interface HttpOptions {
  /** Where the server is. Default: the page's own origin. */
  readonly baseUrl?: string
  /** A bearer token, or who gives the current one: asked at every call, and once more when one was refused. */
  readonly token?: string | (() => string | undefined | Promise<string | undefined>)
  /** Sent as `X-Spillway-Tenant`; only a server without authentication heeds it. */
  readonly tenant?: string
  readonly fetch?: typeof globalThis.fetch
}

interface Request {
  readonly query?: object
  /** Query parameters of several values, comma-separated, each percent-encoded. */
  readonly lists?: Readonly<Record<string, readonly string[]>>
  readonly headers?: Readonly<Record<string, string>>
  readonly body?: unknown
  /** Sends no token: the query carries a ticket. */
  readonly anonymous?: boolean
  readonly signal?: AbortSignal | undefined
}

const REPEATS = 3

/** Calls of one server with one credential. */
export class Http {
  readonly #base: URL
  readonly #options: HttpOptions
  readonly #fetch: typeof globalThis.fetch

  constructor(options: HttpOptions) {
    const base = options.baseUrl ?? globalThis.location?.origin
    if (base === undefined) throw new TypeError('SpillwayClient needs a baseUrl outside a browser')
    this.#base = new URL(base.endsWith('/') ? base : `${base}/`)
    this.#options = options
    // Called as a method of anything but the global object, a browser's fetch refuses.
    this.#fetch = options.fetch ?? ((input, init) => globalThis.fetch(input, init))
  }

  /** True if a refused credential can be followed by another. */
  get renewable(): boolean {
    return typeof this.#options.token === 'function'
  }

  /**
   * Calls and reads the JSON answer. A call that can be repeated without harm (anything but a
   * publish, or a publish whose every event has a key) is repeated up to 3 times while the failure is temporary.
   */
  async json<T>(method: string, path: string, request: Request): Promise<T> {
    const harmless = method !== 'POST' || hasKeys(request.body)
    const signal = request.signal ?? new AbortController().signal
    let renewed = false
    for (let attempt = 1; ; attempt += 1) {
      try {
        return await this.#once<T>(method, path, request)
      } catch (error) {
        if (!(error instanceof ClientError) || signal.aborted) throw error
        if (error.status === 401 && this.renewable && !renewed) {
          renewed = true
          continue
        }
        if (!error.temporary || !harmless || attempt > REPEATS) throw error
        await wait(backoff(attempt, { baseMs: 200, askedMs: error.retryAfterMs }), signal)
        if (signal.aborted) throw error
      }
    }
  }

  async #once<T>(method: string, path: string, request: Request): Promise<T> {
    const response = await this.send(method, path, request).catch((cause: unknown) => {
      if (request.signal?.aborted) throw cause
      throw cause instanceof ClientError ? cause : networkError(cause)
    })
    if (!response.ok) throw await problemOf(response)
    const text = await response.text().catch((cause: unknown) => {
      throw request.signal?.aborted ? cause : networkError(cause)
    })
    try {
      // The server's word is taken for the shape, as any typed client takes it.
      return (text === '' ? undefined : JSON.parse(text)) as T
    } catch (cause) {
      throw new ClientError('PROTOCOL', 'The server answered something that is not JSON', { cause })
    }
  }

  /** One request as it is; rejects only as `fetch` does. */
  async send(method: string, path: string, request: Request): Promise<Response> {
    const url = new URL(path, this.#base)
    for (const [name, value] of Object.entries(request.query ?? {})) {
      if (value !== undefined) url.searchParams.set(name, String(value))
    }
    const lists = Object.entries(request.lists ?? {}).map(
      // A bare comma behind a single value: else a comma within it would part it in two.
      ([name, values]) =>
        `${name}=${values.map(encodeURIComponent).join(',')}${values.length === 1 ? ',' : ''}`,
    )
    url.search = [url.searchParams.toString(), ...lists].filter((part) => part !== '').join('&')
    const { token, tenant } = this.#options
    const headers = new Headers(request.headers)
    const bearer = request.anonymous ? undefined : typeof token === 'function' ? await token() : token
    if (bearer) headers.set('authorization', `Bearer ${bearer}`)
    if (tenant !== undefined) headers.set('x-spillway-tenant', tenant)
    if (request.body !== undefined) headers.set('content-type', 'application/json')
    return this.#fetch(url, {
      method,
      headers,
      cache: 'no-store',
      ...(request.body === undefined ? {} : { body: JSON.stringify(request.body) }),
      ...(request.signal === undefined ? {} : { signal: request.signal }),
    })
  }
}

function hasKeys(body: unknown): boolean {
  const drafts: unknown[] = Array.isArray(body) ? body : [body]
  return drafts.every(
    (draft) => typeof draft === 'object' && draft !== null && 'key' in draft && typeof draft.key === 'string',
  )
}
