import { SpillwayError } from '../errors.js'
import type { Lease } from './lease.js'
import { checkTtl } from './locks.js'
import type { Locks } from './tenant-locks.js'

export interface LeaderOptions {
  /** How long others wait for a leader that died, at most: 100 to 60,000; default 10,000. */
  readonly ttlMs?: number | undefined
  /** Who stands for election, for people; default: this instance. */
  readonly holder?: string | undefined
  /** Told each time this instance begins to lead. */
  readonly onGain?: ((reign: Leading) => void) | undefined
  /** Told each time it ceases to, also at its own wish. */
  readonly onLoss?: ((reign: Leading) => void) | undefined
  /** Told of errors that are no outage: it stands for election all the same. */
  readonly onError?: ((error: unknown) => void) | undefined
}

/** One time of leading. */
export interface Leading {
  /** Greater than that of every leader before. */
  readonly fence: number
  /** Whether it leads now, by its own clock. */
  readonly leads: boolean
  /** Fires when it leads no more, also at its own wish. */
  readonly signal: AbortSignal
}

const TTL_MS = 10_000
/** A place in line is asked for anew now and then. */
const WAIT_MS = 3_600_000
const AGAIN_MS = 500

/**
 * Stands for election until it is closed: one of all instances leads at a time, by a lock that renews itself. What a
 * leader does outside of this process should carry its fence. Iterating gives each time of leading as it begins.
 */
export class Leader implements AsyncIterable<Leading> {
  readonly name: string
  /** Resolves when it stands no more. */
  readonly ended: Promise<void>
  readonly #locks: Locks
  readonly #options: LeaderOptions
  readonly #closing = new AbortController()
  #leading: Leading | undefined
  #waiting: (() => void)[] = []

  constructor(name: string, locks: Locks, options: LeaderOptions = {}) {
    this.name = name
    this.#locks = locks
    this.#options = { ...options, ttlMs: checkTtl(options.ttlMs ?? TTL_MS) }
    this.ended = this.#stand()
  }

  /** Whether this instance leads now, by its own clock. */
  get leads(): boolean {
    return this.#leading?.leads ?? false
  }

  /** Resigns, and stands no more. Resolves when the next one may lead. */
  async close(): Promise<void> {
    this.#closing.abort()
    await this.ended
  }

  /** Each time of leading, once; it ends with the leader. Who leaves the loop only stops listening. */
  async *[Symbol.asyncIterator](): AsyncGenerator<Leading, undefined> {
    let seen: Leading | undefined
    while (!this.#closing.signal.aborted) {
      const leading = this.#leading
      if (leading && leading !== seen) {
        seen = leading
        yield leading
      } else await new Promise<void>((resolve) => this.#waiting.push(resolve))
    }
  }

  async #stand(): Promise<void> {
    const { signal } = this.#closing
    const { ttlMs = TTL_MS, holder, onError } = this.#options
    const wish = { ttlMs, holder, waitMs: WAIT_MS, signal }
    while (!signal.aborted) {
      try {
        await this.#locks.using(this.name, wish, (lease) => this.#lead(lease))
      } catch (error) {
        const { code = 'INTERNAL', temporary = false } = error instanceof SpillwayError ? error : {}
        if (code === 'ABORTED' || code === 'CLOSED') break
        if (code === 'LOCK_LOST') continue
        if (!temporary) onError?.(error)
        await pause(AGAIN_MS, signal)
      }
    }
    this.#closing.abort()
    this.#wake()
  }

  /** Holds the lock until it is lost, or this is closed. */
  async #lead(lease: Lease): Promise<void> {
    const signal = AbortSignal.any([lease.signal, this.#closing.signal])
    const leading: Leading = {
      fence: lease.fence,
      signal,
      get leads() {
        return lease.held && !signal.aborted
      },
    }
    this.#leading = leading
    this.#options.onGain?.(leading)
    this.#wake()
    if (!signal.aborted)
      await new Promise<void>((resolve) => signal.addEventListener('abort', () => resolve(), { once: true }))
    this.#leading = undefined
    this.#options.onLoss?.(leading)
  }

  #wake(): void {
    for (const wake of this.#waiting.splice(0)) wake()
  }
}

function pause(ms: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    const timer = setTimeout(resolve, ms)
    signal.addEventListener(
      'abort',
      () => {
        clearTimeout(timer)
        resolve()
      },
      { once: true },
    )
  })
}
