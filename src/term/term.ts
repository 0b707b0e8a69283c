import type { Queryable } from '../postgres/client.js'

export type StoreName = 'redis' | 'postgres'

/** Fences that one reign can give: whoever takes over without knowing them begins behind all. */
const FENCES = 2 ** 32

export function fenceFloor(number: number): number {
  return number * FENCES
}

/** One store's reign. */
export interface Reign {
  /** Grows by one at every opening; the `term` of what this reign numbers. */
  readonly number: number
  readonly store: StoreName
  /** What each marker in Redis says while this reign is open there; empty on PostgreSQL. */
  readonly sign: string
  /** Key of the marker that stands for all, on a single server; empty where each bucket of keys has its own. */
  readonly marker: string
  /** Fences of this reign are greater, and smaller than those of the next one. */
  readonly fenceFloor: number
  /**
   * Of the Redis that reigns; empty on PostgreSQL. What is for it must not go to another: one that came back with older data has this
   * reign's marker too.
   */
  readonly identity: string
  /**
   * Leases of the reign before may still be held that nobody knows of: what is known may be renewed, nothing granted.
   */
  readonly quarantined: boolean
}

export interface OperateOptions {
  /**
   * Whether it may go on upon Redis while PostgreSQL is away and nobody can say that the term still holds: only
   * for what a later turn signals or makes good.
   */
  readonly goOn?: boolean
}

/** A capability whose store of record follows the term. */
export interface Participant {
  readonly name: string
  /**
   * Saves what only this process knows of the term that ends, within the transaction in which this instance says
   * that it has stopped.
   */
  reclaim?(tx: Queryable, number: number): Promise<void>
  /**
   * Carries what PostgreSQL took to Redis, which reigns next; returns how many. Once before the closing (`bulk`),
   * once when all have stopped (`rest`), and again if somebody did so meanwhile.
   */
  carry?(ending: number, part: 'bulk' | 'rest'): Promise<number>
}

/** The one agreed answer to "which store is it now?", as capabilities see it. */
export interface Term {
  /** The reign that this instance may trust now; undefined while there is none. */
  readonly reign: Reign | undefined
  /** The last reign that this instance has heard of. */
  readonly last: Reign | undefined
  /**
   * Runs an operation of record. Its answer counts only if the reign still holds when it comes. Errors:
   * `TERM_UNKNOWN` (temporary) before anything was sent; `OUTCOME_UNKNOWN` if the reign ended meanwhile; those of `run`.
   */
  operate<T>(run: (reign: Reign) => Promise<T>, options?: OperateOptions): Promise<T>
  /** Calls `told` after each change of `reign`; the answer takes that back. */
  onChange(told: () => void): () => void
  join(participant: Participant): void
}
