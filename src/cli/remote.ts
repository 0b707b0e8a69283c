import { CODES, type Code, SpillwayError } from '../errors.js'
import { readServerFile, type ServerFile } from '../http/server-file.js'

/** Calls of the server that holds the data directory, as a tenant of choice. */
export class Remote {
  readonly #server: ServerFile
  readonly #tenant: string

  constructor(server: ServerFile, tenant: string) {
    this.#server = server
    this.#tenant = tenant
  }

  async json<T>(method: string, path: string, body?: unknown): Promise<T> {
    const response = await this.send(method, path, { body })
    // The shape is the same package's own.
    return (await response.json()) as T
  }

  /** Errors: those of the server, and `STORE_UNAVAILABLE` if it does not answer. */
  async send(
    method: string,
    path: string,
    options: { body?: unknown; signal?: AbortSignal } = {},
  ): Promise<Response> {
    const { url, token, pid } = this.#server
    const { body, signal } = options
    const address = new URL(path, url)
    address.searchParams.set('tenant', this.#tenant)
    const response = await fetch(address, {
      method,
      headers: {
        authorization: `Bearer ${token}`,
        ...(body === undefined ? {} : { 'content-type': 'application/json' }),
      },
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
      ...(signal === undefined ? {} : { signal }),
    }).catch((error: unknown) => {
      if (signal?.aborted) throw new SpillwayError('ABORTED', 'Stopped', { cause: error })
      throw new SpillwayError(
        'STORE_UNAVAILABLE',
        `The server on ${url} (process ${pid}) holds the data directory and does not answer`,
        {
          cause: error,
        },
      )
    })
    if (!response.ok) throw await errorOf(response)
    return response
  }
}

/** The server that holds this data directory, if it has said where it is. */
export function remoteOf(dataDir: string, tenant: string): Remote | undefined {
  const server = readServerFile(dataDir)
  return server && new Remote(server, tenant)
}

async function errorOf(response: Response): Promise<SpillwayError> {
  const problem: unknown = await response.json().catch(() => undefined)
  const { code, detail }: { code?: unknown; detail?: unknown } =
    typeof problem === 'object' && problem !== null ? problem : {}
  const message = typeof detail === 'string' ? detail : `The server answered ${response.status}`
  return new SpillwayError(isCode(code) ? code : 'INTERNAL', message)
}

function isCode(value: unknown): value is Code {
  return typeof value === 'string' && Object.hasOwn(CODES, value)
}
