import { SpillwayError } from '../errors.js'
import type { Reign, Term } from '../term/term.js'
import { Gathering, Lanes, type Pace } from './gathering.js'
import { Leases, type LiveLease } from './leases.js'
import type { Ask, Busy, GiveBack, HeldLock, LeaseRef, LockRef, LockStore, Renewal } from './locks.js'

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

/** With the moment before it was asked for. */
interface Timed<T> {
  readonly what: T
  readonly asked: number
}

/** Enough that a store always has the next (bench/locks), and few enough that it answers others in between. */
const PACE: Readonly<Record<Reign['store'], Pace>> = {
  redis: { parallel: 5, most: 200 },
  postgres: { parallel: 2, most: 200 },
}

/** Looks at a lock that is to be broken so often: it may change hands meanwhile. */
const LOOKS = 5

/**
 * Locks on the store that reigns. An answer counts only if the reign still holds when it comes, and a deadline is
 * counted from before the question. Errors of all: those of a store, and `OUTCOME_UNKNOWN`.
 */
export class Locksmith {
  readonly leases: Leases
  readonly #parts: LocksmithParts
  readonly #takes: Gathering<Timed<Ask>, Attempt>
  readonly #renewals: Gathering<Timed<Renewal>, LiveLease | undefined>
  readonly #returns: Gathering<GiveBack, boolean>

  constructor(parts: LocksmithParts) {
    this.#parts = parts
    this.leases = new Leases(parts.now)
    const pace = () => PACE[parts.term.reign?.store ?? 'postgres']
    const lanes = new Lanes(pace)
    this.#takes = new Gathering<Timed<Ask>, Attempt>((asks) => this.#takeAll(asks), lanes)
    this.#returns = new Gathering<GiveBack, boolean>((returns) => this.#giveBackAll(returns), lanes)
    // A lease that is not renewed in time is lost: no flood of others may be before it.
    this.#renewals = new Gathering<Timed<Renewal>, LiveLease | undefined>(
      (renewals) => this.#renewAll(renewals),
      new Lanes(pace),
    )
  }

  /** Errors: also `OVERLOADED`, `TOO_MANY_WAITERS`, `FENCES_SPENT`. */
  take(ask: Ask): Promise<Attempt> {
    this.leases.makeRoom(ask)
    return this.#takes.ask({ what: ask, asked: this.#parts.now() })
  }

  /** The lease with its new deadline; undefined if its fence holds nothing any more. */
  renew({ tenant, name, fence }: LeaseRef, ttlMs: number | undefined): Promise<LiveLease | undefined> {
    return this.#renewals.ask({ what: { tenant, name, fence, ttlMs }, asked: this.#parts.now() })
  }

  /** Answers whether there was a lease. */
  giveBack(what: GiveBack): Promise<boolean> {
    return this.#returns.ask(what)
  }

  /**
   * Ends whatever lease there is, and makes its fence old for tables that ask. Answers the fence that is over;
   * undefined: nobody held the lock.
   */
  async break(lock: LockRef): Promise<number | undefined> {
    for (let i = 0; i < LOOKS; i++) {
      const held = await this.#parts.term.operate((reign) => this.#store(reign).look(lock, reign))
      if (!held) return undefined
      const { fence } = held
      // First: if the rest fails, the same command can be given again.
      await this.#parts.postgres?.raise({ ...lock, fence: fence + 1 })
      if (await this.giveBack({ ...lock, fence })) return fence
    }
    return undefined
  }

  list(tenant: string, limit: number): Promise<HeldLock[]> {
    return this.#parts.term.operate((reign) => this.#store(reign).list(tenant, limit, reign))
  }

  async #takeAll(asks: readonly Timed<Ask>[]): Promise<(Attempt | SpillwayError)[]> {
    try {
      return await this.#parts.term.operate(async (reign) => {
        const taken = await this.#store(reign).take(whatOf(asks), reign)
        // Here, while the operation is under way: this instance does not say that it has stopped before it ends.
        return taken.map((one, i) => {
          if (one instanceof SpillwayError) return one
          if ('busy' in one) return { busy: one.busy, quarantined: reign.quarantined }
          return { lease: this.#granted(asks[i] as Timed<Ask>, one.fence) }
        })
      })
    } catch (error) {
      // Whatever the store did: nobody holds them.
      for (const { what } of asks) this.leases.drop(what, what)
      throw error
    }
  }

  #granted({ what, asked }: Timed<Ask>, fence: number): LiveLease {
    const { tenant, name, claim, holder, ttlMs } = what
    const facts = { claim, holder, ttlMs, since: Date.now() }
    const lease = { tenant, name, fence, ...facts, deadline: asked + ttlMs }
    this.leases.note(lease)
    return lease
  }

  #renewAll(renewals: readonly Timed<Renewal>[]): Promise<(LiveLease | undefined | SpillwayError)[]> {
    return this.#parts.term.operate(async (reign) => {
      const renewed = await this.#store(reign).renew(whatOf(renewals), reign)
      return renewed.map((facts, i) => {
        if (facts instanceof SpillwayError) return facts
        const { what, asked } = renewals[i] as Timed<Renewal>
        const { tenant, name, fence } = what
        if (!facts) {
          this.leases.drop({ tenant, name }, { fence })
          return undefined
        }
        const lease = { tenant, name, fence, ...facts, deadline: asked + facts.ttlMs }
        this.leases.note(lease)
        return lease
      })
    })
  }

  #giveBackAll(returns: readonly GiveBack[]): Promise<(boolean | SpillwayError)[]> {
    return this.#parts.term.operate(async (reign) => {
      const given = await this.#store(reign).giveBack(returns, reign)
      return given.map((one, i) => {
        if (one instanceof SpillwayError) return one
        const what = returns[i] as GiveBack
        this.leases.drop(what, what)
        if (one.next !== undefined) this.#parts.onNext(what, one.next, reign.store)
        return one.released
      })
    })
  }

  #store({ store }: Reign): LockStore {
    const found = store === 'redis' ? this.#parts.redis : this.#parts.postgres
    if (found) return found
    throw new SpillwayError('STORE_UNAVAILABLE', `${store} reigns, and this instance was given none`)
  }
}

function whatOf<T>(timed: readonly Timed<T>[]): T[] {
  return timed.map(({ what }) => what)
}
