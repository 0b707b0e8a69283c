import { randomBytes } from 'node:crypto'
import { aborted, SpillwayError } from '../errors.js'
import type { Database } from '../postgres/client.js'
import type { RedisClient } from '../redis/client.js'
import type { StoreName, Term } from '../term/term.js'
import { LimitCarry } from './carry.js'
import { hasEntries } from './counters.js'
import { Denials } from './denials.js'
import {
  ALGORITHMS,
  type Lease,
  type Limit,
  type LimitPage,
  type LimitQuery,
  type LimitStore,
  type Take,
} from './limits.js'
import { counterNow, Memory } from './memory.js'
import { keyOf } from './names.js'
import { Policies } from './policy.js'
import { PostgresLimits } from './postgres.js'
import { RedisLimits } from './redis.js'
import { Releases } from './releases.js'
import { Sweep } from './sweep.js'
import { Takes } from './takes.js'
import { type Decider, type LimitVerdict, limitVerdictOf, Verdict } from './verdict.js'
import type { Answer } from './waiting.js'

export interface LimiterParts {
  readonly database: Database | undefined
  readonly redis: RedisClient | undefined
  readonly term: Term
  /** ms within which a take is answered. */
  readonly timeoutMs: number
  /** How many instances live, as far as is known. */
  readonly instances: () => number
}

/** The limits of a process, on the store that reigns. */
export class Limiter {
  /** What was decided, for the figures. */
  readonly decisions: Readonly<Record<Decider, { allowed: number; denied: number }>> = {
    redis: { allowed: 0, denied: 0 },
    postgres: { allowed: 0, denied: 0 },
    memory: { allowed: 0, denied: 0 },
    policy: { allowed: 0, denied: 0 },
  }
  readonly #term: Term
  readonly #postgres: PostgresLimits | undefined
  readonly #redis: RedisLimits | undefined
  readonly #takes: Takes
  readonly #memory = new Memory()
  readonly #denials = new Denials()
  readonly #policies: Policies
  readonly #releases: Releases
  readonly #sweep: Sweep | undefined
  readonly #carry: LimitCarry | undefined
  readonly #offTerm: () => void
  readonly #prefix = randomBytes(6).toString('base64url')
  #taken = 0

  constructor({ database, redis, term, timeoutMs, instances }: LimiterParts) {
    this.#term = term
    this.#postgres = database && new PostgresLimits(database)
    this.#redis = redis && new RedisLimits(redis)
    const storeOf = (name: StoreName) => this.#storeOf(name)
    this.#takes = new Takes({ term, storeOf, timeoutMs, onLate: (take, answer) => this.#late(take, answer) })
    this.#policies = new Policies(this.#memory, instances)
    this.#releases = new Releases((leases) =>
      term.operate((reign) => storeOf(reign.store).release(leases, reign), { goOn: true }),
    )
    this.#sweep = database && new Sweep(database)
    this.#carry = redis && database && new LimitCarry({ memory: this.#memory, database, redis })
    if (this.#carry) term.join(this.#carry)
    this.#offTerm = term.onChange(() => this.#turned())
  }

  start(): void {
    this.#sweep?.start()
  }

  #turned(): void {
    this.#denials.clear()
    const { reign } = this.#term
    // PostgreSQL has just gone again: at the next turn it is tried anew.
    if (reign) void this.#carry?.catchUp(reign).catch(() => undefined)
  }

  /** Errors: `ABORTED`, `CLOSED`, `INTERNAL`; that no store answers is none. */
  take(limits: readonly Limit[], signal?: AbortSignal): Promise<Verdict> | Verdict {
    if (signal?.aborted) throw aborted(signal)
    const take = this.#takeOf(limits)
    const denied = this.#denials.find(take, this.#standing)
    if (denied) return this.#decided(false, denied, 'memory', take)
    const answer = this.#takes.ask(take, signal)
    return answer ? this.#after(take, answer) : this.#byPolicy(take)
  }

  async #after(take: Take, asked: Promise<Answer | undefined>): Promise<Verdict> {
    const answer = await asked
    if (!answer) return this.#byPolicy(take)
    const { outcome, reign, askedAt, again } = answer
    const { allowed, told } = outcome
    this.#policies.over()
    this.#memory.learn(take, told, reign, allowed)
    const verdicts = take.limits.map((limit, i) => {
      const verdict = limitVerdictOf(limit, told[i] as (typeof told)[number])
      if (!verdict.allowed) this.#denials.note(limit, verdict, askedAt)
      return verdict
    })
    // What its first try may have been granted is nobody's.
    if (again && !allowed) this.#giveUp(take)
    return this.#decided(allowed, verdicts, reign.store, take)
  }

  #byPolicy(take: Take): Verdict {
    const { allowed, limits } = this.#policies.decide(take)
    return this.#decided(allowed, limits, 'policy', take)
  }

  #decided(allowed: boolean, limits: readonly LimitVerdict[], by: Decider, take: Take): Verdict {
    const count = this.decisions[by]
    if (!allowed) {
      count.denied += 1
      return new Verdict(false, limits, by)
    }
    count.allowed += 1
    const lease = take.lease ? leaseIn(take) : undefined
    if (!lease) return new Verdict(true, limits, by)
    let ended = false
    return new Verdict(true, limits, by, {
      id: lease.id,
      renew: async () => !ended && this.renew(lease.id, take.limits),
      end: () => {
        ended = true
        return this.release(lease, longestOf(take))
      },
    })
  }

  /** A counter as this instance last heard of it. */
  readonly #standing = (limit: Limit, denied: boolean, now: number): LimitVerdict | undefined => {
    const known = hasEntries(limit.algorithm) ? undefined : this.#memory.of(limit.key)
    if (!known) return undefined
    const { a, b, age } = counterNow(known, now)
    return limitVerdictOf(limit, { a, b, age, room: !denied })
  }

  /** Decided by nobody in time, and then by a store after all. */
  #late(take: Take, { outcome, reign }: Answer): void {
    this.#memory.learn(take, outcome.told, reign, false)
    if (outcome.allowed) this.#giveUp(take)
  }

  #giveUp(take: Take): void {
    const lease = leaseIn(take)
    if (lease) this.#releases.owe(lease, longestOf(take))
  }

  /** Ends a lease. Answers whether it was there, as far as a store says so now: what it does not is tried again. */
  async release(lease: Lease, longestMs: number): Promise<boolean> {
    this.#memory.released(lease.id)
    this.#policies.release(lease)
    return this.#releases.end(lease, longestMs)
  }

  /**
   * Keeps a lease for longer, by those of the limits that give one. Answers whether it was there. Errors: `TERM_UNKNOWN`,
   * `STORE_UNAVAILABLE`, `OUTCOME_UNKNOWN`.
   */
  async renew(id: string, limits: readonly Limit[]): Promise<boolean> {
    const leased = limits.filter(({ algorithm, cost }) => algorithm === 'concurrency' && cost > 0)
    const tenant = leased[0]?.tenant ?? ''
    const held = this.#memory.has(id)
    return this.#term.operate(async (reign) => {
      const costs = await this.#storeOf(reign.store).renew({ id, tenant, limits: leased }, reign)
      // What was released meanwhile must not come back at a turn.
      if (!costs || (held && !this.#memory.has(id))) return false
      // Here, while the operation is under way: this instance does not tell of its leases before it ends.
      const weighed = leased.map((limit, i) => ({ ...limit, cost: costs[i] ?? limit.cost }))
      this.#memory.hold({ id, limits: weighed, lease: true, strict: false })
      return true
    })
  }

  /** Errors: `TERM_UNKNOWN`, `STORE_UNAVAILABLE`. */
  async reset(tenant: string, name: string): Promise<boolean> {
    const there = await this.#term.operate(async (reign) => {
      const reset = await this.#storeOf(reign.store).reset(tenant, name, reign)
      if (reign.store === 'redis') await this.#postgres?.forget(tenant, name)
      return reset
    })
    for (const algorithm of ALGORITHMS) {
      const key = keyOf(tenant, name, algorithm)
      this.#denials.forget(key)
      this.#memory.forget(key)
    }
    return there
  }

  /** Errors: `TERM_UNKNOWN`, `STORE_UNAVAILABLE`. */
  list(tenant: string, query: LimitQuery): Promise<LimitPage> {
    return this.#term.operate((reign) => this.#storeOf(reign.store).list(tenant, query), { goOn: true })
  }

  async close(): Promise<void> {
    this.#offTerm()
    this.#takes.close()
    this.#releases.close()
    await this.#sweep?.close()
  }

  #storeOf(name: StoreName): LimitStore {
    const store = name === 'postgres' ? this.#postgres : this.#redis
    if (store) return store
    throw new SpillwayError('STORE_UNAVAILABLE', `${name} reigns, and this instance was given none`)
  }

  #takeOf(limits: readonly Limit[]): Take {
    let [log, lease, strict] = [false, false, false]
    for (const { algorithm, whenAway } of limits) {
      log ||= algorithm === 'sliding-log'
      lease ||= algorithm === 'concurrency'
      strict ||= whenAway === 'closed'
    }
    // Entries are told apart by it; whoever knows that of a lease may end it.
    if (lease) return { id: randomBytes(15).toString('base64url'), limits, lease, strict }
    if (!log) return { id: '', limits, lease, strict }
    this.#taken += 1
    return { id: `${this.#prefix}${this.#taken.toString(36)}`, limits, lease, strict }
  }
}

function leaseIn({ id, limits }: Take): Lease | undefined {
  const names = limits.flatMap(({ algorithm, cost, name }) =>
    algorithm === 'concurrency' && cost > 0 ? [name] : [],
  )
  return names.length > 0 ? { id, tenant: limits[0]?.tenant ?? '', names } : undefined
}

function longestOf({ limits }: Take): number {
  return Math.max(...limits.map(({ algorithm, perMs }) => (algorithm === 'concurrency' ? perMs : 0)))
}
