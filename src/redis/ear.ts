import { randomUUID } from 'node:crypto'
import type { Redis } from 'ioredis'

export interface EarOptions {
  /** With SSUBSCRIBE. */
  readonly sharded: boolean
  readonly probeMs: number
  /** How long a proof may take. */
  readonly patienceMs: number
  /** A channel of our own that is heard at the same place. */
  readonly probe: string
  readonly publish: (channel: string, message: string) => Promise<unknown>
  readonly heard: (channel: string, message: string) => void
  /** Whether everything that is wanted is being heard. */
  readonly hearing: (works: boolean) => void
}

/** SUBSCRIBE takes many channels at once; a reply comes for each. */
const BATCH = 500

/**
 * One connection that hears channels. A subscription can die while its connection lives and every ping is answered,
 * so it proves itself: it sends a message to itself, and starts anew when that is not heard.
 */
export class Ear {
  readonly #connection: Redis
  readonly #options: EarOptions
  readonly #wanted = new Set<string>()
  #awaited: string | undefined
  #timer: NodeJS.Timeout | undefined
  #works = false
  #closed = false

  constructor(connection: Redis, options: EarOptions) {
    this.#connection = connection
    this.#options = options
    const heard = (channel: string, message: string) => this.#heard(channel, message)
    connection
      .on('message', heard)
      .on('smessage', heard)
      // An error is followed by the close that is handled.
      .on('error', () => this.#turn(false))
      .on('ready', () => void this.#enter([this.#options.probe, ...this.#wanted], true))
      .on('close', () => {
        clearTimeout(this.#timer)
        this.#turn(false)
      })
      .on('end', () => this.#beginAgain())
    this.#begin()
  }

  get works(): boolean {
    return this.#works
  }

  /** Resolves true when the server hears us on all of these; false if that comes later, told by `hearing`. */
  async add(channels: readonly string[]): Promise<boolean> {
    for (const channel of channels) this.#wanted.add(channel)
    return this.#connection.status === 'ready' ? this.#enter(channels, false) : false
  }

  remove(channels: readonly string[]): void {
    for (const channel of channels) this.#wanted.delete(channel)
    if (this.#connection.status !== 'ready') return
    const { sharded } = this.#options
    for (const part of parts(channels, sharded)) {
      const left = sharded ? this.#connection.sunsubscribe(...part) : this.#connection.unsubscribe(...part)
      left.catch(() => this.#restart())
    }
  }

  close(): void {
    this.#closed = true
    clearTimeout(this.#timer)
    this.#connection.disconnect()
  }

  async #enter(channels: readonly string[], begin: boolean): Promise<boolean> {
    const { sharded } = this.#options
    try {
      await Promise.all(
        parts(channels, sharded).map((part) =>
          sharded ? this.#connection.ssubscribe(...part) : this.#connection.subscribe(...part),
        ),
      )
    } catch {
      // Whatever it was (cut, timed out, moved to another server): nothing is heard until all is entered again.
      this.#restart()
      return false
    }
    if (begin) this.#prove()
    return true
  }

  #prove(): void {
    if (this.#closed) return
    const { publish, probe, patienceMs } = this.#options
    const token = randomUUID()
    this.#awaited = token
    clearTimeout(this.#timer)
    this.#timer = setTimeout(() => this.#restart(), patienceMs)
    publish(probe, token).catch(() => {
      if (this.#awaited !== token || this.#closed) return
      // It is the sending that fails: this connection is not to blame, but nothing is known of it.
      this.#turn(false)
      this.#later()
    })
  }

  #heard(channel: string, message: string): void {
    if (channel !== this.#options.probe) {
      if (this.#wanted.has(channel)) this.#options.heard(channel, message)
    } else if (message === this.#awaited) {
      this.#awaited = undefined
      this.#later()
      this.#turn(true)
    }
  }

  #later(): void {
    clearTimeout(this.#timer)
    this.#timer = setTimeout(() => this.#prove(), this.#options.probeMs)
  }

  #restart(): void {
    clearTimeout(this.#timer)
    this.#turn(false)
    if (!this.#closed && this.#connection.status === 'ready') this.#connection.disconnect(true)
  }

  #begin(): void {
    // What it fails with is told again by `error` and `close`.
    this.#connection.connect().catch(() => this.#turn(false))
  }

  #beginAgain(): void {
    if (!this.#closed) this.#timer = setTimeout(() => this.#begin(), this.#options.patienceMs)
  }

  #turn(works: boolean): void {
    if (this.#works === works || this.#closed) return
    this.#works = works
    this.#options.hearing(works)
  }
}

/** Sharded channels of one call must share a slot, so they go one by one; they still travel together. */
function parts(channels: readonly string[], sharded: boolean): string[][] {
  const size = sharded ? 1 : BATCH
  return Array.from({ length: Math.ceil(channels.length / size) }, (_, i) =>
    channels.slice(i * size, (i + 1) * size),
  )
}
