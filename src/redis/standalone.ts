import type { Redis } from 'ioredis'
import { backoff, connectionTo } from './connection.js'
import type { ServerInfo } from './connector.js'
import { isUntrusted, misuse, reasonOf } from './errors.js'
import type { Identity, Link, LinkEvents, Reply } from './link.js'
import { SentinelWatch } from './sentinel-watch.js'
import type { RedisSettings } from './settings.js'

const HERE = 'here'

/** One server, or whichever the sentinels name. */
export class StandaloneLink implements Link {
  readonly kind = 'standalone'
  readonly sharded = false
  identity: Identity | undefined
  problem: unknown
  evicts = ''
  readonly #settings: RedisSettings
  readonly #events: LinkEvents
  readonly #connection: Redis
  readonly #watch: SentinelWatch | undefined
  #again: NodeJS.Timeout | undefined
  /** A sentinel that was refused for its certificate since the last connection was made. */
  #untrusted: unknown
  #closed = false

  constructor(settings: RedisSettings, events: LinkEvents) {
    this.#settings = settings
    this.#events = events
    this.#connection = connectionTo(settings, 'commands', (server) => this.#admits(server))
    this.#connection
      .on('error', (error) => {
        this.problem = reasonOf(error, this.#untrusted)
      })
      .on('ready', () => {
        this.problem = undefined
        this.#untrusted = undefined
        events.onUsable(true)
      })
      .on('close', () => events.onUsable(false))
      .on('end', () => this.#beginAgain())
    if (settings.address.kind === 'sentinel')
      this.#watch = new SentinelWatch(
        settings,
        () => this.reconnect(),
        (error) => {
          if (isUntrusted(error)) this.#untrusted = error
        },
      )
    this.#begin()
  }

  get usable(): boolean {
    return this.#connection.status === 'ready'
  }

  async send(command: string, args: readonly (string | number)[]): Promise<Reply> {
    // A script does what many have asked for already: the sooner it goes, the longer both work.
    if (command !== 'evalsha') this.#gather()
    // What the driver gives for RESP2 without buffers.
    return (await this.#connection.call(command, [...args])) as Reply
  }

  /**
   * What is called in one turn of the event loop goes out in one write. The driver's own way to that holds the next
   * write back until the last one was answered: Redis and this process would work in turns (bench/fast).
   */
  #gather(): void {
    const { stream } = this.#connection
    if (stream.writableCorked > 0) return
    stream.cork()
    setImmediate(() => stream.uncork())
  }

  masters(): readonly Redis[] {
    return [this.#connection]
  }

  placeOf(): string {
    return HERE
  }

  ear(): Redis {
    return connectionTo(this.#settings, 'subscriber', ({ role }) => role === 'master')
  }

  onMoved(): () => void {
    return () => undefined
  }

  reconnect(): void {
    if (!this.#closed && this.usable) this.#connection.disconnect(true)
  }

  close(): void {
    this.#closed = true
    clearTimeout(this.#again)
    this.#watch?.close()
    this.#connection.disconnect()
  }

  #admits({ runId, role, evicts }: ServerInfo): boolean {
    if (runId === '') {
      this.problem = misuse('the server does not say who it is: the user needs the right to INFO')
      return false
    }
    if (role !== 'master') {
      this.problem = new Error(`the server is a ${role}, not a master`)
      return false
    }
    this.identity = runId
    this.evicts = evicts
    if (this.#events.onConnect(runId) === 'use') return true
    this.problem = new Error('another server answers than the one that is in use')
    return false
  }

  #begin(): void {
    this.#connection.connect().catch((error: unknown) => {
      this.problem = reasonOf(this.problem ?? error, this.#untrusted)
    })
  }

  /** The driver gives up when it is told of a failover while it looks for the master. */
  #beginAgain(): void {
    if (!this.#closed) this.#again = setTimeout(() => this.#begin(), backoff(this.#settings, 2))
  }
}
