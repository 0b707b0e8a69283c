import { SpillwayError } from '../errors.js'
import { checkName } from '../tenant.js'
import { hasEntries } from './counters.js'
import { ALGORITHMS, type Algorithm, type Limit, type LimitSpec, LONGEST_MS, POLICIES } from './limits.js'
import { keyOf } from './names.js'

/** Limits in one take: a script decides them all, and others wait meanwhile. */
export const MOST_LIMITS = 16
export const MOST = 1_000_000_000
/** Every entry is kept for itself. */
const MOST_ENTRIES = 10_000
const MOST_ENTRIES_AT_ONCE = 1000
/** `max × perMs` and its small multiples are whole numbers that a double holds. */
export const MOST_PRODUCT = 2 ** 52
const RESERVED = 'spillway.'
const LEASE_ID = /^[A-Za-z0-9_-]{1,64}$/
/** Of each algorithm. */
const KNOWN = 10_000

/** Checks what callers of one tenant name, and gives it the keys. */
export class LimitCheck {
  readonly #tenant: string
  readonly #own: boolean
  /** By algorithm and name, as they were last asked with. */
  readonly #known = Object.fromEntries(
    ALGORITHMS.map((algorithm) => [algorithm, new Map<string, Limit>()]),
  ) as Record<Algorithm, Map<string, Limit>>

  /** `own`: Spillway's own, which may have reserved names. */
  constructor(tenant: string, own = false) {
    this.#tenant = tenant
    this.#own = own
  }

  /** Errors: `INVALID_ARGUMENT`, `INVALID_NAME`. */
  all(specs: readonly LimitSpec[]): Limit[] {
    if (!Array.isArray(specs) || specs.length === 0 || specs.length > MOST_LIMITS) {
      throw invalid(`A take needs 1 to ${MOST_LIMITS} limits`)
    }
    const limits = specs.map((spec) => this.one(spec))
    for (let i = 1; i < limits.length; i++) {
      const twice = limits.findIndex((limit) => limit.key === limits[i]?.key)
      if (twice < i) throw invalid(`The limit "${limits[i]?.name}" stands twice in one take`)
    }
    return limits
  }

  /** As `all`, to be given back: their costs are negative. */
  back(specs: readonly LimitSpec[]): Limit[] {
    return this.all(specs).map((limit) => {
      if (hasEntries(limit.algorithm)) throw invalid(`A ${limit.algorithm} limit counts nothing back`)
      return { ...limit, cost: -limit.cost }
    })
  }

  /** The same few come again and again: what passed before is not looked at anew. */
  one(spec: LimitSpec): Limit {
    if (typeof spec !== 'object' || spec === null) throw invalid('A limit must be an object')
    const { max, perMs, algorithm = 'fixed', cost = 1, whenAway = 'local' } = spec
    const known = this.#known[algorithm]?.get(spec.name)
    if (known && known.max === max && known.perMs === perMs && known.whenAway === whenAway) {
      if (known.cost === cost) return known
      costs(cost, max, algorithm)
      return { ...known, cost }
    }
    const name = this.name(spec.name)
    if (!ALGORITHMS.includes(algorithm)) throw invalid(`algorithm must be one of ${ALGORITHMS.join(', ')}`)
    if (!POLICIES.includes(whenAway)) throw invalid(`whenAway must be one of ${POLICIES.join(', ')}`)
    whole('max', max, 1, hasEntries(algorithm) ? MOST_ENTRIES : MOST, algorithm)
    whole('perMs', perMs, 1, LONGEST_MS, algorithm)
    if (max * perMs > MOST_PRODUCT) throw invalid(`max × perMs must be at most ${MOST_PRODUCT}`)
    costs(cost, max, algorithm)
    const key = keyOf(this.#tenant, name, algorithm)
    const limit = { tenant: this.#tenant, name, algorithm, max, perMs, cost, whenAway, key }
    const limits = this.#known[algorithm]
    if (limits.size >= KNOWN) limits.clear()
    limits.set(name, limit)
    return limit
  }

  /** As `all`, those of them that give leases. */
  leased(specs: readonly LimitSpec[]): Limit[] {
    const leased = this.all(specs).filter(({ algorithm, cost }) => algorithm === 'concurrency' && cost > 0)
    if (leased.length === 0)
      throw invalid(`A lease is of 1 to ${MOST_LIMITS} concurrency limits: give them as they were taken`)
    return leased
  }

  /** Errors: `INVALID_NAME`. */
  name(value: unknown): string {
    const name = checkName('limit', value)
    if (!this.#own && name.startsWith(RESERVED)) {
      throw new SpillwayError('INVALID_NAME', `Names of limits that begin with "${RESERVED}" are reserved`)
    }
    return name
  }

  /** Errors: `INVALID_ARGUMENT`, `INVALID_NAME`. */
  lease(id: unknown, names: readonly unknown[]): void {
    this.leaseId(id)
    if (names.length === 0 || names.length > MOST_LIMITS) {
      throw invalid(`A lease is of 1 to ${MOST_LIMITS} concurrency limits: name them`)
    }
    for (const name of names) this.name(name)
  }

  /** Errors: `INVALID_ARGUMENT`. */
  leaseId(id: unknown): void {
    if (typeof id !== 'string' || !LEASE_ID.test(id)) throw invalid('This is not the id of a lease')
  }

  /** Errors: `INVALID_ARGUMENT`. */
  page(limit: unknown, most: number): void {
    if (Number.isSafeInteger(limit) && (limit as number) >= 1 && (limit as number) <= most) return
    throw invalid(`limit must be a whole number from 1 to ${most}`)
  }
}

function costs(cost: unknown, max: number, algorithm: Algorithm): void {
  whole('cost', cost, 0, hasEntries(algorithm) ? Math.min(max, MOST_ENTRIES_AT_ONCE) : max, algorithm)
}

function whole(what: string, value: unknown, least: number, most: number, algorithm: Algorithm): void {
  if (Number.isSafeInteger(value) && (value as number) >= least && (value as number) <= most) return
  throw invalid(`${what} of a ${algorithm} limit must be a whole number from ${least} to ${most}`)
}

function invalid(message: string): SpillwayError {
  return new SpillwayError('INVALID_ARGUMENT', message)
}
