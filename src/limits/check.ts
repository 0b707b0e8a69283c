import { SpillwayError } from '../errors.js'
import { checkName } from '../tenant.js'
import { hasEntries } from './counters.js'
import { ALGORITHMS, type Algorithm, type Limit, type LimitSpec, LONGEST_MS, POLICIES } from './limits.js'
import { keyOf } from './names.js'

/** Limits in one take: a script decides them all, and others wait meanwhile. */
export const MOST_LIMITS = 16
export const MOST = 1_000_000_000
/** Every entry is kept for itself. */
export const MOST_ENTRIES = 10_000
export const MOST_ENTRIES_AT_ONCE = 1000
/** `max × perMs` and its small multiples are whole numbers that a double holds. */
export const MOST_PRODUCT = 2 ** 52
const RESERVED = 'spillway.'
const LEASE_ID = /^[A-Za-z0-9_-]{1,64}$/
/** Keys remembered; the same few come again and again. */
const KNOWN_KEYS = 10_000

/** Checks what callers of one tenant name, and gives it the keys. */
export class LimitCheck {
  readonly #tenant: string
  readonly #own: boolean
  /** By algorithm and name. */
  readonly #keys = Object.fromEntries(
    ALGORITHMS.map((algorithm) => [algorithm, new Map<string, string>()]),
  ) as Record<Algorithm, Map<string, string>>

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

  one(spec: LimitSpec): Limit {
    if (typeof spec !== 'object' || spec === null) throw invalid('A limit must be an object')
    const { max, perMs, algorithm = 'fixed', cost = 1, whenAway = 'local' } = spec
    const name = this.name(spec.name)
    if (!ALGORITHMS.includes(algorithm)) throw invalid(`algorithm must be one of ${ALGORITHMS.join(', ')}`)
    if (!POLICIES.includes(whenAway)) throw invalid(`whenAway must be one of ${POLICIES.join(', ')}`)
    const entries = hasEntries(algorithm)
    whole('max', max, 1, entries ? MOST_ENTRIES : MOST, algorithm)
    whole('perMs', perMs, 1, LONGEST_MS, algorithm)
    if (max * perMs > MOST_PRODUCT) throw invalid(`max × perMs must be at most ${MOST_PRODUCT}`)
    whole('cost', cost, 0, entries ? Math.min(max, MOST_ENTRIES_AT_ONCE) : max, algorithm)
    return {
      tenant: this.#tenant,
      name,
      algorithm,
      max,
      perMs,
      cost,
      whenAway,
      key: this.key(name, algorithm),
    }
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
    if (typeof id !== 'string' || !LEASE_ID.test(id)) throw invalid('This is not the id of a lease')
    if (names.length === 0 || names.length > MOST_LIMITS) {
      throw invalid(`A lease is of 1 to ${MOST_LIMITS} concurrency limits: name them`)
    }
    for (const name of names) this.name(name)
  }

  /** Errors: `INVALID_ARGUMENT`. */
  page(limit: unknown, most: number): void {
    if (Number.isSafeInteger(limit) && (limit as number) >= 1 && (limit as number) <= most) return
    throw invalid(`limit must be a whole number from 1 to ${most}`)
  }

  /** Errors: `INVALID_NAME`. */
  key(name: string, algorithm: Algorithm): string {
    const keys = this.#keys[algorithm]
    const known = keys.get(name)
    if (known !== undefined) return known
    if (keys.size >= KNOWN_KEYS) keys.clear()
    const made = keyOf(this.#tenant, name, algorithm)
    keys.set(name, made)
    return made
  }
}

function whole(what: string, value: unknown, least: number, most: number, algorithm: Algorithm): void {
  if (Number.isSafeInteger(value) && (value as number) >= least && (value as number) <= most) return
  throw invalid(`${what} of a ${algorithm} limit must be a whole number from ${least} to ${most}`)
}

function invalid(message: string): SpillwayError {
  return new SpillwayError('INVALID_ARGUMENT', message)
}
