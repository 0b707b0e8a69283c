import { SpillwayError } from '../errors.js'
import { checkName } from '../tenant.js'
import { LimitCheck } from './check.js'
import type { Limiter } from './limiter.js'
import { ALGORITHMS, type LimitPage, type LimitQuery, type LimitSpec, LONGEST_MS } from './limits.js'
import { Recent } from './recent.js'
import type { Verdict } from './verdict.js'

export interface TakeOptions {
  readonly signal?: AbortSignal | undefined
}

const NO_OPTIONS: TakeOptions = {}
const PAGE = 100
const MOST_PAGE = 1000

/** The limits of one tenant, or of the platform itself. */
export class RateLimits {
  readonly #tenant: string
  readonly #limiter: Limiter
  readonly #check: LimitCheck

  /** `own`: Spillway's own, which have reserved names. */
  constructor(tenant: string, limiter: Limiter, own = false) {
    this.#tenant = tenant
    this.#limiter = limiter
    this.#check = new LimitCheck(tenant, own)
  }

  /**
   * Takes from all of these limits, or from none; that it may not is a verdict too. Answers within
   * `SPILLWAY_LIMIT_TIMEOUT_MS`, by the limits' policies where no store does. Errors: `INVALID_ARGUMENT`, `INVALID_NAME`,
   * `ABORTED`.
   */
  async take(specs: readonly LimitSpec[], { signal }: TakeOptions = NO_OPTIONS): Promise<Verdict> {
    return this.#limiter.take(this.#check.all(specs), signal)
  }

  /**
   * Counts back what was taken and not used; of counters only, and never below nothing. Answers how they stand. Errors: as
   * `take`; `INVALID_ARGUMENT` for entries.
   */
  async giveBack(specs: readonly LimitSpec[]): Promise<Verdict> {
    return this.#limiter.take(this.#check.back(specs))
  }

  /**
   * Keeps the lease of a take for longer, by its id and its limits, of which those without a lease are passed over: for
   * `perMs` of each from now on, and never shorter. Answers whether it was there; if it is over by one of them, none is
   * touched. Errors: `INVALID_ARGUMENT`, `INVALID_NAME`; temporary: `TERM_UNKNOWN`, `STORE_UNAVAILABLE`, `OUTCOME_UNKNOWN`.
   */
  async renew(lease: string, specs: readonly LimitSpec[]): Promise<boolean> {
    this.#check.leaseId(lease)
    return this.#limiter.renew(lease, this.#check.leased(specs))
  }

  /**
   * Ends the lease of a take by its id and the names of its concurrency limits. Answers whether it was there; what no
   * store takes now is tried again. Errors: `INVALID_ARGUMENT`, `INVALID_NAME`.
   */
  async release(lease: string, names: readonly string[]): Promise<boolean> {
    this.#check.lease(lease, names)
    return this.#limiter.release({ id: lease, tenant: this.#tenant, names }, LONGEST_MS)
  }

  /**
   * Forgets what was counted under a name. Answers whether there was anything. Errors: `INVALID_NAME`; temporary:
   * `TERM_UNKNOWN`, `STORE_UNAVAILABLE`.
   */
  reset(name: string): Promise<boolean> {
    return this.#limiter.reset(this.#tenant, checkName('limit', name))
  }

  /** How limits stand, those that have counted something. Errors: as `reset`, and `INVALID_CURSOR`. */
  list(query: Partial<LimitQuery> = {}): Promise<LimitPage> {
    const { name, after, limit = PAGE } = query
    this.#check.page(limit, MOST_PAGE)
    if (after !== undefined) checkPlace(after)
    const named = name === undefined ? undefined : checkName('limit', name)
    return this.#limiter.list(this.#tenant, { name: named, after, limit })
  }
}

/** Where a page of either store ended: after a turn the other store begins anew. */
function checkPlace(after: string): void {
  const [algorithm, ...name] = after.split(' ')
  if (/^[\d.]*\d[\d.]*$/.test(after)) return
  if (name.length > 0 && ALGORITHMS.some((one) => one === algorithm)) {
    checkName('limit', name.join(' '))
    return
  }
  throw new SpillwayError('INVALID_CURSOR', '`after` is not the `next` of a page of limits')
}

/** Tenants of which the scope is kept: it remembers the keys of their limits. */
const SCOPES = 1000

/** The scopes of a process: one a tenant. */
export class LimitScopes {
  readonly limiter: Limiter
  readonly #scopes = new Recent<RateLimits>(SCOPES)

  constructor(limiter: Limiter) {
    this.limiter = limiter
  }

  of(tenant: string): RateLimits {
    let scope = this.#scopes.get(tenant)
    if (!scope) {
      scope = new RateLimits(tenant, this.limiter)
      this.#scopes.set(tenant, scope)
    }
    return scope
  }

  /** Those that Spillway itself puts on a tenant, under reserved names. */
  own(tenant: string): RateLimits {
    return new RateLimits(tenant, this.limiter, true)
  }
}
