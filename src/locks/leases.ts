import { SpillwayError } from '../errors.js'
import { lockId } from './keys.js'
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
  readonly #leases = new Map<string, LiveLease>()
  readonly #ofTenant = new Map<string, number>()
  #sweepAt = FEW
  #sweptAt = Number.NEGATIVE_INFINITY

  constructor(now: () => number) {
    this.#now = now
  }

  get count(): number {
    return this.#leases.size
  }

  /** Errors: `OVERLOADED` if there is no room for another lease of this tenant. */
  makeRoom({ tenant }: LockRef): void {
    const { leases } = LOCK_LIMITS
    if (this.#leases.size < this.#sweepAt && (this.#ofTenant.get(tenant) ?? 0) < leases / 10) return
    // Not at each refusal: it looks at all of them.
    if (this.#now() - this.#sweptAt > REST_MS) this.#sweep()
    if (this.#leases.size >= leases) throw full(`${leases} leases run on this instance`)
    if ((this.#ofTenant.get(tenant) ?? 0) >= leases / 10)
      throw full(`${leases / 10} leases of this tenant run on this instance`)
  }

  /** Notes a lease, or that it was renewed; an older one of this lock is over. */
  note(lease: LiveLease): void {
    const id = lockId(lease)
    const known = this.#leases.get(id)
    if (known && known.fence > lease.fence) return
    const sooner = known?.fence === lease.fence ? known.deadline : lease.deadline
    this.#leases.set(id, sooner <= lease.deadline ? lease : { ...lease, deadline: sooner })
    if (!known) this.#ofTenant.set(lease.tenant, (this.#ofTenant.get(lease.tenant) ?? 0) + 1)
  }

  /** It is given back or lost. */
  drop(lock: LockRef, which: { readonly fence: number } | { readonly claim: string }): void {
    const id = lockId(lock)
    const known = this.#leases.get(id)
    if (!known) return
    const same = 'fence' in which ? which.fence === known.fence : which.claim === known.claim
    if (same) this.#remove(id, known)
  }

  /** Those that may still be held, with what another store has to keep of them. */
  live(): MovedLease[] {
    this.#sweep()
    const now = this.#now()
    return [...this.#leases.values()].map(({ deadline, ...lease }) => ({
      ...lease,
      leftMs: movedMs(deadline - now),
    }))
  }

  #sweep(): void {
    const now = this.#now()
    for (const [id, lease] of this.#leases) if (lease.deadline <= now) this.#remove(id, lease)
    this.#sweepAt = Math.min(LOCK_LIMITS.leases, Math.max(FEW, 2 * this.#leases.size))
    this.#sweptAt = now
  }

  #remove(id: string, { tenant }: LiveLease): void {
    this.#leases.delete(id)
    const left = (this.#ofTenant.get(tenant) ?? 0) - 1
    if (left > 0) this.#ofTenant.set(tenant, left)
    else this.#ofTenant.delete(tenant)
  }
}

function full(message: string): SpillwayError {
  return new SpillwayError('OVERLOADED', message, { retryAfterMs: 1000 })
}
