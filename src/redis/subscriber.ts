import { randomUUID } from 'node:crypto'
import { Cluster, type Redis } from 'ioredis'
import type { RedisClient } from './client.js'
import { connect, type RedisSettings } from './connect.js'

/** What a subscription hears. Messages are hints: they may be lost, and `hearing(false)` says that they surely are. */
export interface Listener {
  heard(channel: string, message: string): void
  /** From here on these channels are heard; what was said before was not. */
  joined(channels: readonly string[]): void
  hearing(works: boolean): void
}

export interface SubscriberOptions extends RedisSettings {
  /** ms between proofs that a message really arrives. */
  readonly probeMs: number
}

/**
 * The one subscriber connection of a process. A subscription can die while its connection lives, so it proves
 * itself: it sends a message to itself, and starts anew when that does not arrive.
 */
export class Subscriber {
  readonly #connection: Redis | Cluster
  readonly #client: RedisClient
  readonly #options: SubscriberOptions
  readonly #listener: Listener
  readonly #wanted = new Set<string>()
  /** Subscribes of one turn of the event loop go out together. */
  #fresh = new Set<string>()
  #flushing = false
  #own: string
  #probe: NodeJS.Timeout | undefined
  #awaited: string | undefined
  #works = false
  #closed = false

  constructor(client: RedisClient, options: SubscriberOptions, listener: Listener) {
    this.#client = client
    this.#options = options
    this.#listener = listener
    this.#own = `spillway:probe:{${randomUUID()}}`
    this.#connection = connect(options, 'subscriber')
    const heard = (channel: string, message: string) => this.#heard(channel, message)
    this.#connection.on('message', heard)
    this.#connection.on('smessage', heard)
    // Nothing is lost with an error here: what follows is a close, and that is told.
    this.#connection.on('error', () => undefined)
    this.#connection.on('ready', () => void this.#begin())
    this.#connection.on('close', () => this.#turn(false))
    this.#connection.connect().catch(() => undefined)
  }

  subscribe(channel: string): void {
    if (this.#wanted.has(channel)) return
    this.#wanted.add(channel)
    this.#fresh.add(channel)
    this.#schedule()
  }

  unsubscribe(channel: string): void {
    if (!this.#wanted.delete(channel)) return
    this.#fresh.delete(channel)
    if (this.#connection.status !== 'ready') return
    const gone = this.#sharded
      ? this.#connection.sunsubscribe(channel)
      : this.#connection.unsubscribe(channel)
    gone.catch(() => this.#restart())
  }

  close(): void {
    this.#closed = true
    clearTimeout(this.#probe)
    this.#connection.disconnect()
  }

  get #sharded(): boolean {
    return this.#connection instanceof Cluster
  }

  #schedule(): void {
    if (this.#flushing || this.#connection.status !== 'ready') return
    this.#flushing = true
    setImmediate(() => {
      this.#flushing = false
      const channels = [...this.#fresh]
      this.#fresh.clear()
      this.#enter(channels).catch(() => this.#restart())
    })
  }

  async #enter(channels: readonly string[]): Promise<void> {
    if (channels.length === 0) return
    if (this.#sharded) await Promise.all(channels.map((channel) => this.#connection.ssubscribe(channel)))
    else
      for (let i = 0; i < channels.length; i += 500)
        await this.#connection.subscribe(...channels.slice(i, i + 500))
    this.#listener.joined(channels)
  }

  async #begin(): Promise<void> {
    this.#fresh.clear()
    try {
      await this.#enter([this.#own, ...this.#wanted])
      this.#prove()
    } catch {
      this.#restart()
    }
  }

  #heard(channel: string, message: string): void {
    if (channel !== this.#own) return this.#listener.heard(channel, message)
    if (message !== this.#awaited) return
    this.#awaited = undefined
    this.#turn(true)
    clearTimeout(this.#probe)
    this.#probe = setTimeout(() => this.#prove(), this.#options.probeMs)
    this.#probe.unref()
  }

  #prove(): void {
    if (this.#closed) return
    clearTimeout(this.#probe)
    this.#awaited = randomUUID()
    this.#client.call(this.#client.publishCommand, this.#own, this.#awaited).catch(() => undefined)
    this.#probe = setTimeout(() => this.#silent(), this.#options.commandTimeoutMs * 2)
    this.#probe.unref()
  }

  /** The proof did not arrive: either Redis does not answer at all, or only the subscription is dead. */
  #silent(): void {
    this.#turn(false)
    if (this.#client.usable) this.#restart()
    else this.#prove()
  }

  #restart(): void {
    this.#turn(false)
    clearTimeout(this.#probe)
    if (!this.#closed) this.#connection.disconnect(true)
  }

  #turn(works: boolean): void {
    if (this.#works === works || this.#closed) return
    this.#works = works
    this.#listener.hearing(works)
  }
}
