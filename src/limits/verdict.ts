import { hasEntries, remaining, untilReset, untilRoom } from './counters.js'
import type { Algorithm, Limit, Told } from './limits.js'

/** How one limit stands after a take. */
export interface LimitVerdict {
  readonly name: string
  readonly algorithm: Algorithm
  /** As it was asked with; where its policy `local` decided, this instance's share. */
  readonly max: number
  readonly perMs: number
  /** Whether this limit alone would have let it pass. */
  readonly allowed: boolean
  /** What may still be taken now. */
  readonly remaining: number
  /** ms until the same may pass, if nothing else is taken; 0 where it may. Of leases: at the latest. */
  readonly retryAfterMs: number
  /** ms until it is whole again, if nothing more is taken. */
  readonly resetMs: number
}

/**
 * Who has decided: the store that reigns; what this instance remembers of a denial that is not over; or the policies of
 * the limits, because no store answered.
 */
export type Decider = 'redis' | 'postgres' | 'memory' | 'policy'

/** A lease as its verdict has it. */
interface VerdictLease {
  readonly id: string
  readonly renew: () => Promise<boolean>
  readonly end: () => Promise<boolean>
}

/** What became of a take. A denial is a verdict like any other. */
export class Verdict {
  readonly allowed: boolean
  /** The least of its limits'. */
  readonly remaining: number
  /** The greatest of its limits'. */
  readonly retryAfterMs: number
  readonly resetMs: number
  /** One a limit, in the order of the take. */
  readonly limits: readonly LimitVerdict[]
  readonly decidedBy: Decider
  /** The id of the lease that its concurrency limits gave; null without any. */
  readonly lease: string | null
  readonly #lease: VerdictLease | undefined

  constructor(
    allowed: boolean,
    limits: readonly LimitVerdict[],
    decidedBy: Decider,
    lease?: VerdictLease | undefined,
  ) {
    let [remaining, retryAfterMs, resetMs] = [Number.POSITIVE_INFINITY, 0, 0]
    for (const limit of limits) {
      remaining = Math.min(remaining, limit.remaining)
      retryAfterMs = Math.max(retryAfterMs, limit.retryAfterMs)
      resetMs = Math.max(resetMs, limit.resetMs)
    }
    this.allowed = allowed
    this.remaining = remaining
    this.retryAfterMs = retryAfterMs
    this.resetMs = resetMs
    this.limits = limits
    this.decidedBy = decidedBy
    this.lease = lease?.id ?? null
    this.#lease = lease
  }

  /**
   * Keeps its lease for `perMs` of each of its limits from now on. Answers whether there was one: false if it is over, was
   * released, or is known to no store because a policy gave it. Errors (temporary): `TERM_UNKNOWN`, `STORE_UNAVAILABLE`,
   * `OUTCOME_UNKNOWN`: it lasts as long as before at least, and may be asked for again.
   */
  async renew(): Promise<boolean> {
    return (await this.#lease?.renew()) ?? false
  }

  /**
   * Ends its lease before its time; there is nothing to do where it has none. Never fails: what no store takes now is
   * tried again.
   */
  async release(): Promise<void> {
    await this.#lease?.end()
  }
}

/** What a store told of a limit, in the words of a verdict. */
export function limitVerdictOf(limit: Limit, told: Told): LimitVerdict {
  const { name, algorithm, max, perMs } = limit
  const { room } = told
  if (hasEntries(algorithm)) {
    const left = Math.max(0, max - told.a)
    const retryAfterMs = room ? 0 : told.age
    return { name, algorithm, max, perMs, allowed: room, remaining: left, retryAfterMs, resetMs: told.b }
  }
  // What was heard since the denial may have room: then there is nothing to count, and a moment is enough.
  const wait = room ? 0 : untilRoom(told, limit)
  return {
    name,
    algorithm,
    max,
    perMs,
    allowed: room,
    remaining: remaining(told, limit),
    retryAfterMs: room || wait >= 1 ? wait : 1,
    resetMs: untilReset(told, limit),
  }
}
