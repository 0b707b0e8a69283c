import type { FlowRef } from '../tenant.js'
import { TERMS_SINCE_S } from '../term/marker.js'

/** Where the numbers of a flow begin that Redis does not know. */
export interface Beginnings {
  /**
   * They are greater than this, in that reign. Errors: `DURABILITY_FIXED`; temporary: `STORE_UNAVAILABLE`,
   * `TERM_UNKNOWN`.
   */
  base(ref: FlowRef, reign: number): number | Promise<number>
  /** Seconds since the epoch: they are also greater than the microseconds since then. Nothing: base is enough. */
  readonly clockFrom?: number
}

/** Numbers that a term can give to a flow in each of its seconds before the next term might give them again. */
const A_SECOND = 1_000_000

/**
 * Where nobody but Redis remembers a flow: when it has lost it, its numbers go on behind any that it can have given. A
 * number is a microsecond of the store's clock at most, since no flow takes a million events a second; a term is a
 * second of it at most. So both begin beyond the last ones even where nothing is left (docs/decisions/0007).
 */
export const BY_THE_CLOCK: Beginnings = {
  base: (_, reign) => reign * A_SECOND,
  clockFrom: TERMS_SINCE_S,
}
