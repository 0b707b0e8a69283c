import { MOST, MOST_PRODUCT } from '../limits/check.js'
import type { LimitSpec } from '../limits/limits.js'
import { nameFor } from '../limits/names.js'
import type { RateLimits } from '../limits/rate-limits.js'
import type { LimitVerdict } from '../limits/verdict.js'

export interface SpillwayStoreOptions {
  /** Whose limits: `spillway.tenant('acme').limits`, or `spillway.limits`. */
  readonly limits: RateLimits
  /** Before the keys, which tells two limiters of one tenant apart; default `express:`. */
  readonly prefix?: string | undefined
}

/** What `express-rate-limit` wants to know of a key. */
export interface Hits {
  totalHits: number
  resetTime: Date | undefined
}

/**
 * The store of `express-rate-limit` (6 and later): `rateLimit({ windowMs, limit, store: new SpillwayStore({ limits }) })`.
 * Counts in fixed windows, on whichever store reigns. While none does each instance counts for itself, from what it was told
 * last; `passOnStoreError` has nothing to do.
 */
export class SpillwayStore {
  /** Keys are the same for all instances. */
  readonly localKeys = false
  readonly prefix: string
  readonly #limits: RateLimits
  #windowMs = 60_000

  constructor({ limits, prefix = 'express:' }: SpillwayStoreOptions) {
    this.#limits = limits
    this.prefix = prefix
  }

  init(options: { readonly windowMs: number }): void {
    this.#windowMs = options.windowMs
  }

  async get(key: string): Promise<Hits | undefined> {
    const hits = await this.#take(key, 0)
    return hits.totalHits > 0 ? hits : undefined
  }

  increment(key: string): Promise<Hits> {
    return this.#take(key, 1)
  }

  async decrement(key: string): Promise<void> {
    await this.#limits.giveBack([this.#spec(key, 1)])
  }

  async resetKey(key: string): Promise<void> {
    await this.#limits.reset(nameFor(this.prefix, key))
  }

  async #take(key: string, cost: number): Promise<Hits> {
    const spec = this.#spec(key, cost)
    const verdict = await this.#limits.take([spec])
    const { max, remaining, resetMs } = verdict.limits[0] as LimitVerdict
    // Counted in the share of one of n instances, a hit is n.
    const used = Math.ceil(((max - remaining) * spec.max) / max)
    return {
      totalHits: used + (verdict.allowed ? 0 : cost),
      resetTime: resetMs > 0 ? new Date(Date.now() + resetMs) : undefined,
    }
  }

  #spec(key: string, cost: number): LimitSpec {
    // Hits beyond the limit are counted too, as its own stores do.
    const max = Math.min(MOST, Math.floor(MOST_PRODUCT / this.#windowMs))
    return { name: nameFor(this.prefix, key), max, perMs: this.#windowMs, cost, whenAway: 'local' }
  }
}
