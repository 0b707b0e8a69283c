import { SpillwayError } from '../errors.js'
import type { Reign, Term } from '../term/term.js'
import { Leases, type LiveLease } from './leases.js'
import type {
  Ask,
  Busy,
  GiveBack,
  GivenBack,
  HeldLock,
  LeaseFacts,
  LeaseRef,
  LockRef,
  LockStore,
  Taken,
} from './locks.js'

/** Locks on PostgreSQL, which also remembers what tables have seen. */
interface RecordStore extends LockStore {
  raise(lease: LeaseRef): Promise<void>
}

export interface LocksmithParts {
  readonly term: Term
  readonly redis: LockStore | undefined
  readonly postgres: RecordStore | undefined
  /** Monotonic ms. */
  readonly now: () => number
  /** Told whose turn it is for a lock that was given back: a claim, or `*` for whoever waits. */
  readonly onNext: (lock: LockRef, next: string, store: Reign['store']) => void
}

/** A lease with its deadline on this process's clock, or why there is none. */
export type Attempt =
  | { readonly lease: LiveLease }
  | {
      readonly busy: Busy
      /** Nothing may be granted yet: leases may be held that nobody knows of. */
      readonly quarantined: boolean
    }

/** Looks at a lock that is to be broken so often: it may change hands meanwhile. */
const LOOKS = 5

/**
 * Locks on the store that reigns. An answer counts only if the reign still holds when it comes, and a deadline is counted
 * from before the question. Errors of all: those of a store, and `OUTCOME_UNKNOWN`.
 */
export class Locksmith {
  readonly leases: Leases
  readonly #parts: LocksmithParts

  constructor(parts: LocksmithParts) {
    this.#parts = parts
    this.leases = new Leases(parts.now)
  }

  /** Errors: also `OVERLOADED`, `TOO_MANY_WAITERS`, `FENCES_SPENT`. */
  async take(ask: Ask): Promise<Attempt> {
    this.leases.makeRoom(ask)
    const asked = this.#parts.now()
    try {
      return await this.#parts.term.operate(async (reign) => {
        const taken: Taken = await this.#store(reign).take(ask, reign)
        if ('busy' in taken) return { busy: taken.busy, quarantined: reign.quarantined }
        const { tenant, name, claim, holder, ttlMs } = ask
        const { fence } = taken
        const lease = {
          tenant,
          name,
          claim,
          holder,
          ttlMs,
          fence,
          since: Date.now(),
          deadline: asked + ttlMs,
        }
        // Here, while the operation is under way: this instance does not say that it has stopped before it ends.
        this.leases.note(lease)
        return { lease }
      })
    } catch (error) {
      // Whatever the store did: nobody holds it.
      this.leases.drop(ask, { claim: ask.claim })
      throw error
    }
  }

  /** The lease with its new deadline; undefined if its fence holds nothing any more. */
  async renew(lease: LeaseRef, ttlMs: number | undefined): Promise<LiveLease | undefined> {
    const asked = this.#parts.now()
    return this.#parts.term.operate(async (reign) => {
      const facts: LeaseFacts | undefined = await this.#store(reign).renew(lease, ttlMs, reign)
      if (!facts) {
        this.leases.drop(lease, lease)
        return undefined
      }
      const { tenant, name, fence } = lease
      const renewed = { tenant, name, fence, ...facts, deadline: asked + facts.ttlMs }
      this.leases.note(renewed)
      return renewed
    })
  }

  /** Answers whether there was a lease. */
  async giveBack(what: GiveBack): Promise<boolean> {
    return this.#parts.term.operate(async (reign) => {
      const { released, next }: GivenBack = await this.#store(reign).giveBack(what, reign)
      this.leases.drop(what, what)
      if (next !== undefined) this.#parts.onNext(what, next, reign.store)
      return released
    })
  }

  /**
   * Ends whatever lease there is, and makes its fence old for tables that ask. Answers the fence that is over; undefined:
   * nobody held the lock.
   */
  async break(lock: LockRef): Promise<number | undefined> {
    const { postgres } = this.#parts
    for (let i = 0; i < LOOKS; i++) {
      const held = await this.#parts.term.operate((reign) => this.#store(reign).look(lock, reign))
      if (!held) return undefined
      const { fence } = held
      // First: if the rest fails, the same command can be given again.
      await postgres?.raise({ ...lock, fence: fence + 1 })
      if (await this.giveBack({ ...lock, fence })) return fence
    }
    return undefined
  }

  list(tenant: string, limit: number): Promise<HeldLock[]> {
    return this.#parts.term.operate((reign) => this.#store(reign).list(tenant, limit, reign))
  }

  #store({ store }: Reign): LockStore {
    const found = store === 'redis' ? this.#parts.redis : this.#parts.postgres
    if (found) return found
    throw new SpillwayError('STORE_UNAVAILABLE', `${store} reigns, and this instance was given none`)
  }
}
