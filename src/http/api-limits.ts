import type { Principal } from '../access/principal.js'
import type { Config } from '../config.js'
import type { LimitSpec } from '../limits/limits.js'
import { nameFor } from '../limits/names.js'
import type { RateLimits } from '../limits/rate-limits.js'
import { Recent } from '../limits/recent.js'
import type { Spillway } from '../spillway.js'
import { rateLimited, rateLimitFields } from './rate-limit-fields.js'

const MINUTE_MS = 60_000
/** Part of a limit that an instance takes at once, so that most requests are counted here, without a store. */
const SHARE = 100
/** What is taken is good for so long where nobody knows when the limit begins anew. */
const GOOD_MS = 1000
const TENANTS = 10_000

/** Requests that were counted beforehand. */
interface Allowance {
  left: number
  /** Of `performance.now()`: then they belong to a window that is over. */
  until: number
}

/** Where the fields of a denial go. */
export interface Answering {
  headers(values: Record<string, string>): unknown
}

interface Scope {
  readonly limits: RateLimits
  readonly allowances: Recent<Allowance>
  asking: Promise<void> | undefined
}

/** Spillway's own API, limited by tenant, by user and by endpoint. Where no store answers it is open. */
export class ApiLimits {
  readonly #spillway: Spillway
  readonly #config: Config
  readonly #scopes = new Recent<Scope>(TENANTS)

  constructor(spillway: Spillway) {
    this.#spillway = spillway
    this.#config = spillway.config
  }

  /** Counts a request; nothing to wait for as long as an allowance lasts. Errors: `RATE_LIMITED`. */
  admit(principal: Principal, endpoint: string, reply: Answering): Promise<void> | undefined {
    const specs = this.#specsOf(principal, endpoint)
    if (specs.length === 0) return undefined
    const scope = this.#scopeOf(principal.tenant)
    return spend(scope, specs) ? undefined : this.#ask(scope, specs, reply)
  }

  async #ask(scope: Scope, specs: readonly LimitSpec[], reply: Answering): Promise<void> {
    // Whoever comes while others ask may find that they have asked for him.
    while (scope.asking) {
      await scope.asking
      if (spend(scope, specs)) return
    }
    const asking = this.#refill(scope, specs, reply)
    scope.asking = asking.catch(() => undefined)
    try {
      await asking
    } finally {
      scope.asking = undefined
    }
  }

  async #refill(scope: Scope, specs: readonly LimitSpec[], reply: Answering): Promise<void> {
    const now = performance.now()
    const empty = specs.filter(({ name }) => !lasts(scope.allowances.get(name), now))
    const many = empty.map((spec) => ({ ...spec, cost: Math.max(1, Math.floor(spec.max / SHARE)) }))
    let verdict = await scope.limits.take(many)
    let taken = many
    if (!verdict.allowed && many.some(({ cost }) => cost > 1)) {
      taken = empty.map((spec) => ({ ...spec, cost: 1 }))
      verdict = await scope.limits.take(taken)
    }
    if (!verdict.allowed) {
      reply.headers(rateLimitFields(verdict))
      throw rateLimited(verdict)
    }
    taken.forEach(({ name, cost }, i) => {
      const resetMs = verdict.limits[i]?.resetMs ?? 0
      scope.allowances.set(name, { left: cost, until: now + (resetMs > 0 ? resetMs : GOOD_MS) })
    })
    spend(scope, specs)
  }

  #specsOf({ user }: Principal, endpoint: string): LimitSpec[] {
    const { apiLimitTenant, apiLimitUser, apiLimitEndpoint } = this.#config
    const specs: LimitSpec[] = []
    const add = (name: string, max: number) => {
      if (max > 0) specs.push({ name, max, perMs: MINUTE_MS, whenAway: 'open' })
    }
    add('spillway.api', apiLimitTenant)
    if (user !== null) add(nameFor('spillway.api.user:', user), apiLimitUser)
    add(`spillway.api.endpoint:${endpoint}`, apiLimitEndpoint)
    return specs
  }

  #scopeOf(tenant: string): Scope {
    let scope = this.#scopes.get(tenant)
    if (!scope) {
      scope = { limits: this.#spillway.ownLimits(tenant), allowances: new Recent(TENANTS), asking: undefined }
      this.#scopes.set(tenant, scope)
    }
    return scope
  }
}

function lasts(allowance: Allowance | undefined, now: number): allowance is Allowance {
  return allowance !== undefined && allowance.left > 0 && now < allowance.until
}

/** One request of each allowance, or of none. */
function spend({ allowances }: Scope, specs: readonly LimitSpec[]): boolean {
  const now = performance.now()
  const own: Allowance[] = []
  for (const { name } of specs) {
    const allowance = allowances.get(name)
    if (!lasts(allowance, now)) return false
    own.push(allowance)
  }
  for (const allowance of own) allowance.left -= 1
  return true
}
