import { AsyncLocalStorage } from 'node:async_hooks'
import { SpillwayError } from '../errors.js'
import { checkName } from '../tenant.js'
import type { Acquired, BusyLock } from './asking.js'
import type { LockDesk } from './desk.js'
import type { Lease } from './lease.js'
import { checkFence, checkTtl, checkWait, type LockRef } from './locks.js'

export interface LockOptions {
  /** How long the lease may be counted on after it was asked for or renewed: 100 to 60,000. */
  readonly ttlMs: number
  /** How long to stand in line while others hold the lock, an hour at most. Default 30,000 for `using`, else 0. */
  readonly waitMs?: number | undefined
  /** Who holds it, for people who look at it; default: this instance. */
  readonly holder?: string | undefined
  /** Ends the waiting. */
  readonly signal?: AbortSignal | undefined
}

/** A lock that is held, as people see it. */
export interface LockSummary {
  readonly name: string
  readonly holder: string
  readonly fence: number
  /** ISO 8601 in UTC, by the store's clock. */
  readonly since: string
  /** After which the store gives it to another, unless it is renewed: longer than its holder counts on it. */
  readonly leftMs: number
  readonly waiting: number
}

export interface RenewedLease {
  readonly ttlMs: number
  /** ms for which it may be counted on from now, at most. */
  readonly leftMs: number
}

/** Whoever runs within a lock's body, and within which others that is. */
interface Within {
  readonly desk: LockDesk
  readonly lock: LockRef
  readonly lease: Lease
  readonly outer: Within | undefined
}

const PATIENCE_MS = 30_000
const MOST_LISTED = 1000

const within = new AsyncLocalStorage<Within>()

/**
 * The locks of one tenant. Names are the tenant's own; those like `flow:…`, `import:…` and `analysis:…` have the keys of
 * the platform's guide. Order: who waits for a lock gets it in the order of arrival, over all instances; when the store
 * changes, who waits stands in line anew. Errors of all: `INVALID_NAME`, `INVALID_ARGUMENT`; temporary:
 * `STORE_UNAVAILABLE`, `TERM_UNKNOWN`, `OUTCOME_UNKNOWN`, `OVERLOADED`.
 */
export class Locks {
  readonly #tenant: string
  readonly #desk: LockDesk

  constructor(tenant: string, desk: LockDesk) {
    this.#tenant = tenant
    this.#desk = desk
  }

  /**
   * Runs `body` while it holds the lock, which renews itself until then. Errors: `LOCK_BUSY` if the wait was too short;
   * `LOCK_LOST` if the lease ended before the body did: `lease.signal` has told it; `LOCK_HELD` if this call is made
   * within the body of the same lock, and would wait for itself; `ABORTED`, `TOO_MANY_WAITERS`.
   */
  async using<T>(name: string, options: LockOptions, body: (lease: Lease) => Promise<T> | T): Promise<T> {
    const done = await this.tryUsing(name, { waitMs: PATIENCE_MS, ...defined(options) }, body)
    if ('result' in done) return done.result
    throw lockBusy(name, done.busy)
  }

  /** As `using`; a busy lock is an answer. Does not wait unless it is told to. */
  async tryUsing<T>(
    name: string,
    options: LockOptions,
    body: (lease: Lease) => Promise<T> | T,
  ): Promise<{ readonly result: T } | { readonly busy: BusyLock }> {
    const lock = this.#ref(name)
    const acquired = await this.#acquire(lock, options, true)
    if ('busy' in acquired) return acquired
    const { lease } = acquired
    const desk = this.#desk
    let result: T
    try {
      result = await within.run({ desk, lock, lease, outer: within.getStore() }, async () => body(lease))
    } catch (error) {
      // What the body says matters more than what becomes of a lock that ends by itself.
      await lease.release().catch(() => undefined)
      throw error
    }
    if (!lease.held) throw lease.signal.reason
    await lease.release().catch((error: unknown) => {
      // It is given back a little later.
      if (!(error instanceof SpillwayError && error.temporary)) throw error
    })
    return { result }
  }

  /**
   * A lease that its holder renews and releases, or who has the lock. Does not wait unless it is told to. Errors: also
   * `ABORTED`, `TOO_MANY_WAITERS`; `LOCK_HELD` within the body of the same lock.
   */
  acquire(name: string, options: LockOptions): Promise<Acquired> {
    try {
      return this.#acquire(this.#ref(name), options, false)
    } catch (error) {
      return Promise.reject(error)
    }
  }

  /** Renews a lease that is known by its fence, as over HTTP; undefined if that holds nothing any more. */
  async renew(name: string, fence: number, ttlMs?: number): Promise<RenewedLease | undefined> {
    const lease = { ...this.#ref(name), fence: checkFence(fence) }
    const renewed = await this.#desk.renew(lease, ttlMs === undefined ? undefined : checkTtl(ttlMs))
    return renewed && { ttlMs: renewed.ttlMs, leftMs: Math.max(0, renewed.deadline - performance.now()) }
  }

  /** Gives a lease back that is known by its fence. Answers whether it was still held. */
  async release(name: string, fence: number): Promise<boolean> {
    return this.#desk.giveBack({ ...this.#ref(name), fence: checkFence(fence) })
  }

  /** The locks that are held. Order: by name. `limit`: 1 to 1000. */
  async list({ limit = MOST_LISTED }: { readonly limit?: number } = {}): Promise<LockSummary[]> {
    if (!Number.isInteger(limit) || limit < 1 || limit > MOST_LISTED)
      throw new SpillwayError('INVALID_ARGUMENT', `limit must be a whole number from 1 to ${MOST_LISTED}`)
    const held = await this.#desk.list(this.#tenant, limit)
    return held.map(({ name, holder, fence, since, leftMs, waiting }) => ({
      name,
      holder,
      fence,
      since: new Date(since).toISOString(),
      leftMs: Math.round(leftMs),
      waiting,
    }))
  }

  /**
   * Takes the lock from its holder: who is next gets it, and tables that ask spillway.fence_ok refuse the old holder's
   * writes from now on. The holder itself hears of it with its next renewal. Answers whether somebody held it.
   */
  async break(name: string): Promise<boolean> {
    return (await this.#desk.break(this.#ref(name))) !== undefined
  }

  #acquire(lock: LockRef, options: LockOptions, keeps: boolean): Promise<Acquired> {
    const { ttlMs, waitMs = 0, holder, signal } = options
    for (let inner = within.getStore(); inner; inner = inner.outer) {
      if (inner.desk === this.#desk && inner.lease.held && same(inner.lock, lock))
        throw new SpillwayError(
          'LOCK_HELD',
          `This call runs within the body of the lock "${lock.name}" and would wait for itself`,
        )
    }
    return this.#desk.acquire(lock, {
      ttlMs: checkTtl(ttlMs),
      waitMs: checkWait(waitMs),
      holder: holder === undefined ? this.#desk.holder : checkName('holder', holder),
      signal,
      keeps,
    })
  }

  #ref(name: string): LockRef {
    return { tenant: this.#tenant, name: checkName('lock', name) }
  }
}

/** A busy lock as an error, for those who must answer with one. */
export function lockBusy(
  name: string,
  { holder, since, retryAfterMs, quarantined }: BusyLock,
): SpillwayError {
  const nobody = quarantined ? 'it may still be held from the term before' : 'others are before you'
  const who = holder === null ? nobody : `${holder} holds it since ${since}`
  return new SpillwayError('LOCK_BUSY', `The lock "${name}" is busy: ${who}`, { retryAfterMs })
}

function same(a: LockRef, b: LockRef): boolean {
  return a.tenant === b.tenant && a.name === b.name
}

/** Without what is given as undefined, which would hide a default. */
function defined(options: LockOptions): LockOptions {
  const { waitMs, ...rest } = options
  return waitMs === undefined ? rest : options
}
