import { abortable, aborted } from '../errors.js'
import type { Database } from '../postgres/client.js'
import type { RedisClient } from '../redis/client.js'
import { REAL, type Surroundings } from '../term/ports.js'
import type { Term } from '../term/term.js'
import { type Acquired, Asking, closed, type Wish } from './asking.js'
import { Bells } from './bells.js'
import { Lease, type LeaseParts } from './lease.js'
import type { LiveLease } from './leases.js'
import { Line } from './line.js'
import { type HeldLock, keptMs, type LeaseRef, type LockRef } from './locks.js'
import { Locksmith } from './locksmith.js'
import { LooseEnds } from './loose-ends.js'
import { PostgresLocks } from './postgres.js'
import { PostgresBell } from './postgres-bell.js'
import { RedisLocks } from './redis.js'
import { RedisBell } from './redis-bell.js'
import { LockTurn } from './turn.js'

export interface DeskParts {
  readonly instanceId: string
  readonly term: Term
  readonly database: Database | undefined
  readonly redis: RedisClient | undefined
  readonly around?: Surroundings
}

/** What the desk has done, for Prometheus. */
export interface LockFigures {
  readonly granted: number
  /** Leases of this process that ended otherwise than by their holder's will. */
  readonly lost: number
  /** Leases that were granted or renewed here and may still run. */
  readonly held: number
  readonly waiting: number
}

const SWEEP_MS = 60_000
const SWEPT = 5000

/** The locks of a process: what it asks for, holds and waits for, on whichever store reigns. */
export class LockDesk {
  /** Who holds what is asked for here, unless somebody else is named. */
  readonly holder: string
  readonly #smith: Locksmith
  readonly #line: Line
  readonly #bells: Bells
  readonly #ends: LooseEnds
  readonly #asking: Asking
  readonly #leaseParts: LeaseParts
  readonly #postgres: PostgresLocks | undefined
  readonly #offTerm: () => void
  /** Leases that renew themselves. */
  readonly #kept = new Set<Lease>()
  readonly #closing = new AbortController()
  readonly #counts = { granted: 0, lost: 0 }
  #sweeper: NodeJS.Timeout | undefined

  constructor({ instanceId, term, database, redis, around = REAL }: DeskParts) {
    this.holder = instanceId
    const line = new Line(around)
    const onRedis = redis && new RedisLocks(redis)
    const postgres = database && new PostgresLocks(database)
    const bells = new Bells(line, {
      ...(redis && { redis: new RedisBell(redis, line) }),
      ...(database && { postgres: new PostgresBell(database, line) }),
    })
    const onNext = bells.tell.bind(bells)
    const smith = new Locksmith({ term, redis: onRedis, postgres, now: around.now, onNext })
    if (postgres) term.join(new LockTurn({ leases: smith.leases, postgres, redis: onRedis }))
    const ends = new LooseEnds((what) => smith.giveBack(what), around)
    this.#asking = new Asking({
      ...{ around, term, smith, line, bells, ends },
      closing: this.#closing.signal,
      hold: (lease, keeps) => this.#hold(lease, keeps),
    })
    this.#leaseParts = {
      around,
      renew: (lease, ttlMs) => smith.renew(lease, ttlMs),
      giveBack: ({ tenant, name, fence }) => smith.giveBack({ tenant, name, fence }),
      left: ({ tenant, name, claim, ttlMs }) => ends.add({ tenant, name }, claim, keptMs(ttlMs)),
      ended: (lease, lost) => {
        this.#kept.delete(lease)
        if (lost) this.#counts.lost += 1
      },
    }
    // Another store: those who wait stand in line there anew, in the order in which they came here.
    this.#offTerm = term.onChange(() => line.ringAll())
    this.#smith = smith
    this.#line = line
    this.#bells = bells
    this.#ends = ends
    this.#postgres = postgres
  }

  /** Begins to forget what is old in PostgreSQL. */
  start(): void {
    // What fails is left to a later round.
    const sweep = () => void this.#postgres?.forget(SWEPT).catch(() => undefined)
    this.#sweeper = setInterval(sweep, SWEEP_MS)
    this.#sweeper.unref()
  }

  get figures(): LockFigures {
    return { ...this.#counts, held: this.#smith.leases.count, waiting: this.#line.count }
  }

  /**
   * A lease, or who has the lock; `keeps`: the lease renews itself. Errors: `ABORTED`, `CLOSED`, `OVERLOADED`,
   * `TOO_MANY_WAITERS`, `FENCES_SPENT`; those of the store, for who waits at the end of the wait.
   */
  acquire(lock: LockRef, wish: Wish): Promise<Acquired> {
    const { signal } = wish
    if (signal?.aborted) return Promise.reject(aborted(signal))
    if (this.#closing.signal.aborted) return Promise.reject(closed())
    return abortable(this.#asking.ask(lock, wish), signal)
  }

  /** As Locksmith.renew, for a lease that is known by its fence alone. */
  renew(lease: LeaseRef, ttlMs: number | undefined): Promise<LiveLease | undefined> {
    return this.#smith.renew(lease, ttlMs)
  }

  giveBack(lease: LeaseRef): Promise<boolean> {
    return this.#smith.giveBack(lease)
  }

  break(lock: LockRef): Promise<number | undefined> {
    return this.#smith.break(lock)
  }

  list(tenant: string, limit: number): Promise<HeldLock[]> {
    return this.#smith.list(tenant, limit)
  }

  /** Who waits is refused, and leases that renew themselves end for their holders. Others run to their end. */
  async close(): Promise<void> {
    this.#closing.abort()
    clearInterval(this.#sweeper)
    this.#offTerm()
    this.#line.ringAll()
    for (const lease of [...this.#kept]) lease.abandon('this Spillway was closed')
    await this.#ends.close()
    await this.#bells.close()
  }

  #hold(live: LiveLease, keeps: boolean): Lease {
    this.#counts.granted += 1
    const lease = new Lease(live, this.#leaseParts, keeps)
    if (keeps) this.#kept.add(lease)
    return lease
  }
}
