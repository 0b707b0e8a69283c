import type { Reign } from '../term/term.js'
import { DRIFT } from '../term/timing.js'
import { type Counter, hasEntries, settled } from './counters.js'
import type { Limit, Take, Told } from './limits.js'
import { Recent } from './recent.js'

/** Limits of which the last word of a store is remembered, and leases. */
const LIMITS = 10_000
const LEASES = 50_000

export interface Remembered {
  limit: Limit
  told: Told
  reign: Reign
  /** When the answer came; of `performance.now()`. */
  at: number
}

export interface HeldLease {
  readonly take: Take
  readonly at: number
}

/** What this instance was last told of limits, and the leases that it got. */
export class Memory {
  readonly #limits = new Recent<Remembered>(LIMITS)
  readonly #leases = new Map<string, HeldLease>()

  /** `allowed`: what of it are leases is held. */
  learn(take: Take, told: readonly Told[], reign: Reign, allowed: boolean): void {
    const at = performance.now()
    for (let i = 0; i < take.limits.length; i++) {
      const limit = take.limits[i] as Limit
      const known = this.#limits.young(limit.key)
      if (known) {
        known.limit = limit
        known.told = told[i] as Told
        known.reign = reign
        known.at = at
      } else this.#limits.set(limit.key, { limit, told: told[i] as Told, reign, at })
    }
    if (take.lease && allowed) this.hold(take)
  }

  has(id: string): boolean {
    return this.#leases.has(id)
  }

  /** A lease that was granted or renewed just now; the longer one counts. */
  hold(take: Take): void {
    const held = { take, at: performance.now() }
    const known = this.#leases.get(take.id)
    if (known && leftOf(known, held.at) > leftOf(held, held.at)) return
    // Anew, so that it is not the oldest any more.
    this.#leases.delete(take.id)
    if (this.#leases.size >= LEASES) this.#prune(held.at)
    this.#leases.set(take.id, held)
  }

  of(key: string): Readonly<Remembered> | undefined {
    return this.#limits.get(key)
  }

  released(id: string): void {
    this.#leases.delete(id)
  }

  forget(key: string): void {
    this.#limits.delete(key)
  }

  /** What Redis told in its reign with this number. */
  *toldIn(number: number): Generator<Readonly<Remembered>> {
    for (const [, one] of this.#limits.entries()) {
      if (one.reign.number === number && one.reign.store === 'redis') yield one
    }
  }

  leases(): Iterable<HeldLease> {
    return this.#leases.values()
  }

  /** Those that are over go, and if that is not enough the oldest. */
  #prune(now: number): void {
    for (const [id, held] of this.#leases) if (leftOf(held, now) <= 0) this.#leases.delete(id)
    for (const id of this.#leases.keys()) {
      if (this.#leases.size < LEASES) return
      this.#leases.delete(id)
    }
  }
}

/** The counter as it stands now; younger than in the store, if this clock is slow, never older. */
export function counterNow({ limit, told, at }: Readonly<Remembered>, now: number): Counter {
  return settled({ a: told.a, b: told.b, age: told.age + Math.floor((now - at) / DRIFT) }, limit)
}

/** ms that a lease may have left in the store. */
export function leftOf({ take, at }: HeldLease, now: number): number {
  let left = 0
  for (const { algorithm, perMs } of take.limits) {
    if (algorithm === 'concurrency') left = Math.max(left, Math.ceil(perMs - (now - at) / DRIFT))
  }
  return left
}

/** Entries that may be left of those that were told, all as young as the last one. */
export function entriesNow({ limit, told, at }: Readonly<Remembered>, now: number): number {
  return hasEntries(limit.algorithm) && told.b > (now - at) / DRIFT ? told.a : 0
}
