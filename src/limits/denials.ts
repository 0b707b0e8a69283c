import { DRIFT } from '../term/timing.js'
import type { Limit, Take } from './limits.js'
import { Recent } from './recent.js'
import type { LimitVerdict } from './verdict.js'

interface Denial {
  readonly verdict: LimitVerdict
  readonly cost: number
  readonly max: number
  readonly perMs: number
  readonly at: number
  readonly until: number
}

/** Limits of which a denial is remembered. */
const SIZE = 10_000
/** A denial is believed for so long without asking again: a reset elsewhere is noticed after it. */
const BELIEVED_MS = 1000

/**
 * What this instance was denied, so that a flood is turned away without a store: for as long as the store said, by this
 * instance's own clock, which may be slow. Not of leases, which others may give back at any time.
 */
export class Denials {
  readonly #recent = new Recent<Denial>(SIZE)

  /**
   * How the limits of a take stand that a denial decides; undefined if there is none. `standing`: how a counter stands
   * now, as it was last heard of, and whether it has denied this.
   */
  find(
    { limits }: Take,
    standing: (limit: Limit, denied: boolean, now: number) => LimitVerdict | undefined,
  ): LimitVerdict[] | undefined {
    if (this.#recent.empty) return undefined
    const now = performance.now()
    const denials = limits.map((limit) => this.#of(limit, now))
    if (denials.every((denial) => denial === undefined)) return undefined
    return limits.map((limit, i) => {
      const denial = denials[i]
      return (
        standing(limit, denial !== undefined, now) ??
        (denial ? later(denial, now - denial.at) : untouched(limit))
      )
    })
  }

  note(limit: Limit, verdict: LimitVerdict, askedAt: number): void {
    if (verdict.allowed || limit.algorithm === 'concurrency') return
    const until = askedAt + Math.min(BELIEVED_MS, verdict.retryAfterMs / DRIFT)
    const { cost, max, perMs } = limit
    this.#recent.set(limit.key, { verdict, cost, max, perMs, at: askedAt, until })
  }

  forget(key: string): void {
    this.#recent.delete(key)
  }

  clear(): void {
    this.#recent.clear()
  }

  #of({ key, cost, max, perMs }: Limit, now: number): Denial | undefined {
    const denial = this.#recent.get(key)
    if (denial === undefined || now >= denial.until) return undefined
    return cost >= denial.cost && max <= denial.max && perMs === denial.perMs ? denial : undefined
  }
}

function later({ verdict }: Denial, ms: number): LimitVerdict {
  const shorter = (left: number, least: number) => Math.max(least, Math.ceil(left - ms))
  return {
    ...verdict,
    retryAfterMs: shorter(verdict.retryAfterMs, 1),
    resetMs: shorter(verdict.resetMs, 1),
  }
}

/** Of a limit that another one's denial leaves as it was; nobody was asked how that is. */
function untouched({ name, algorithm, max, perMs }: Limit): LimitVerdict {
  return { name, algorithm, max, perMs, allowed: true, remaining: max, retryAfterMs: 0, resetMs: 0 }
}
