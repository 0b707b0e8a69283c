import { isIP, type Socket, connect as tcpConnect } from 'node:net'
import { connect as tlsConnect } from 'node:tls'
import { AbstractConnector, type SentinelConnectionOptions, SentinelConnector } from 'ioredis'

/** A server as it describes itself at a connect. */
export interface ServerInfo {
  readonly runId: string
  readonly role: string
  readonly version: string
  /** What it drops when memory is short; '' if it refuses writes instead, or has no bound. */
  readonly evicts: string
}

/** Says whether a connection that was just made may be used; `node` is the server's `host:port`. */
export type Admit = (server: ServerInfo, node: string) => boolean

type Door = new (options: unknown) => AbstractConnector

/** A half-open connection answers no farewell. */
export const DISCONNECT_MS = 300

/** Told of what keeps a connection from being made. */
export type Failed = (error: Error) => void

/**
 * The driver's door: after each connect it asks who the server is, and only then sends what callers want. What
 * makes it necessary: a server that lost its data, or a replica, looks from outside like the one before.
 */
export function connectorTo(
  admit: Admit,
  tls: { ca: string | undefined } | undefined,
  failed: Failed = () => undefined,
): Door {
  return class extends AbstractConnector {
    readonly #host: string
    readonly #port: number

    constructor(options: unknown) {
      super(DISCONNECT_MS)
      const { host, port } = placeIn(options)
      this.#host = host
      this.#port = port
    }

    override connect(): Promise<Socket> {
      this.connecting = true
      const place = { host: this.#host, port: this.#port }
      // In this turn of the event loop: a refused promise would make the driver give up for ever.
      // An address is no name that a server could be asked for.
      const name = isIP(place.host) === 0 ? { servername: place.host } : {}
      const stream = tls ? tlsConnect({ ...place, ...name, ca: tls.ca }) : tcpConnect(place)
      stream.once('error', (error) => {
        this.firstError = error
        failed(error)
      })
      this.stream = stream
      return Promise.resolve(stream)
    }

    override check(info: unknown): boolean {
      return admit(describe(info), `${this.#host}:${this.#port}`)
    }
  }
}

/** As `connectorTo`, for whatever server the sentinels name as master. */
export function sentinelConnectorTo(admit: Admit, options: SentinelConnectionOptions): Door {
  return class extends SentinelConnector {
    constructor() {
      super(options)
    }

    override check(info: { role?: string }): boolean {
      return super.check(info) && admit(describe(info), '')
    }
  }
}

function placeIn(options: unknown): { host: string; port: number } {
  const { host, port } =
    typeof options === 'object' && options !== null ? { host: '', port: 0, ...options } : {}
  return { host: String(host), port: Number(port) }
}

function describe(info: unknown): ServerInfo {
  const fields = new Map(Object.entries(typeof info === 'object' && info !== null ? info : {}))
  const text = (name: string) => String(fields.get(name) ?? '')
  return {
    runId: text('run_id'),
    role: text('role'),
    version: text('redis_version'),
    evicts: evictionOf(text('maxmemory_policy'), Number(text('maxmemory'))),
  }
}

function evictionOf(policy: string, maxmemory: number): string {
  return maxmemory > 0 && policy !== 'noeviction' ? policy : ''
}
