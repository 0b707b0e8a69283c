import { SpillwayError } from '../errors.js'
import {
  type LeaseFacts,
  type LeaseRef,
  LOCK_LIMITS,
  type LockRef,
  type MovedLease,
  movedMs,
} from './locks.js'

/** A lease that was granted or renewed by this process. */
export interface LiveLease extends LeaseRef, LeaseFacts {
  /** Until when its holder may count on it, on this process's monotonic clock. */
  readonly deadline: number
}

/** Leases that are not looked for before there are so many. */
const FEW = 1024
const REST_MS = 100

/**
 * The leases that this process has granted or renewed and that may still be held, also by callers of its HTTP API: at a
 * turn they go to the store that reigns next.
 */
export class Leases {
  readonly #now: () => number
  /** By tenant, then by name. */
  readonly #leases = new Map<string, Map<string, LiveLease>>()
  #count = 0
  #sweepAt = FEW
  #sweptAt = Number.NEGATIVE_INFINITY

  constructor(now: () => number) {
    this.#now = now
  }

  get count(): number {
    return this.#count
  }

  /** Errors: `OVERLOADED` if there is no room for another lease of this tenant. */
  makeRoom({ tenant }: LockRef): void {
    const { leases } = LOCK_LIMITS
    if (this.#count < this.#sweepAt && this.#ofTenant(tenant) < leases / 10) return
    // Not at each refusal: it looks at all of them.
    if (this.#now() - this.#sweptAt > REST_MS) this.#sweep()
    if (this.#count >= leases) throw full(`${leases} leases run on this instance`)
    if (this.#ofTenant(tenant) >= leases / 10)
      throw full(`${leases / 10} leases of this tenant run on this instance`)
  }

  /** Notes a lease, or that it was renewed; an older one of this lock is over. */
  note(lease: LiveLease): void {
    const { tenant, name } = lease
    let own = this.#leases.get(tenant)
    if (!own) {
      own = new Map()
      this.#leases.set(tenant, own)
    }
    const known = own.get(name)
    if (known && known.fence > lease.fence) return
    const sooner = known?.fence === lease.fence ? known.deadline : lease.deadline
    own.set(name, sooner <= lease.deadline ? lease : { ...lease, deadline: sooner })
    if (!known) this.#count += 1
  }

  /** It is given back or lost. */
  drop({ tenant, name }: LockRef, which: { readonly fence: number } | { readonly claim: string }): void {
    const known = this.#leases.get(tenant)?.get(name)
    if (!known) return
    const same = 'fence' in which ? which.fence === known.fence : which.claim === known.claim
    if (same) this.#remove(known)
  }

  /** Those that may still be held, with what another store has to keep of them. */
  live(): MovedLease[] {
    this.#sweep()
    const now = this.#now()
    return [...this.#all()].map(({ deadline, ...lease }) => ({
      ...lease,
      leftMs: movedMs(deadline - now),
    }))
  }

  *#all(): Generator<LiveLease> {
    for (const own of this.#leases.values()) yield* own.values()
  }

  #ofTenant(tenant: string): number {
    return this.#leases.get(tenant)?.size ?? 0
  }

  #sweep(): void {
    const now = this.#now()
    for (const lease of this.#all()) if (lease.deadline <= now) this.#remove(lease)
    this.#sweepAt = Math.min(LOCK_LIMITS.leases, Math.max(FEW, 2 * this.#count))
    this.#sweptAt = now
  }

  #remove({ tenant, name }: LiveLease): void {
    const own = this.#leases.get(tenant)
    if (!own?.delete(name)) return
    this.#count -= 1
    if (own.size === 0) this.#leases.delete(tenant)
  }
}

function full(message: string): SpillwayError {
  return new SpillwayError('OVERLOADED', message, { retryAfterMs: 1000 })
}
