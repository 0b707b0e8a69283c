import { type FlowRef, flowTag } from '../tenant.js'
import { TERMS_SINCE_S } from '../term/marker.js'

/** How a flow goes on in a reign on Redis. */
export interface Start {
  /** Where its numbers begin, if they do: they are greater. */
  readonly base: number
  /** How far it has surely come in this reign; 0 if nobody here knows. */
  readonly known: number
  /**
   * Whether its numbers may begin: since nobody knew it, for the first time in this reign, or again, since Redis has lost
   * what it had. The one who is told so uses it up; of all others Redis takes nothing that it does not know how to go
   * on with.
   */
  readonly begins: 'new' | 'first' | 'again' | ''
}

/** Where the numbers of a flow begin that Redis does not know. */
export interface Beginnings {
  /** Errors: `DURABILITY_FIXED`; temporary: `STORE_UNAVAILABLE`, `TERM_UNKNOWN`. */
  start(ref: FlowRef, reign: number): Start | Promise<Start>
  /** What was answered has not reached Redis. */
  unused(ref: FlowRef, reign: number, start: Start): void
  /** Lets a flow that Redis has lost begin again, beyond every number of its reign. Errors: as `start`. */
  again(ref: FlowRef, reign: number): Promise<void>
  /** Redis has counted this far. */
  counted(ref: FlowRef, head: number, reign: number): void
  /** Seconds since the epoch: numbers are also greater than the microseconds since then. Nothing: base is enough. */
  readonly clockFrom?: number
}

/** Numbers that a term can give to a flow in each of its seconds before the next term might give them again. */
const A_SECOND = 1_000_000
/** Flows that are remembered. */
const KNOWN = 50_000

/**
 * Where nobody but Redis remembers a flow: when it has lost it, its numbers go on behind any that it can have given. A
 * number is a microsecond of the store's clock at most, since no flow takes a million events a second; a term is a
 * second of it at most. So both begin beyond the last ones even where nothing is left (docs/decisions/0007). That
 * something was lost is known to who has counted it before.
 */
export class ByTheClock implements Beginnings {
  readonly clockFrom = TERMS_SINCE_S
  readonly #known = new Map<string, { readonly head: number; readonly reign: number }>()

  start(ref: FlowRef, reign: number): Start {
    const before = this.#known.get(flowTag(ref))
    const known = before?.reign === reign ? before.head : 0
    return { base: reign * A_SECOND, known, begins: known > 0 ? 'again' : 'first' }
  }

  unused(): void {}

  async again(): Promise<void> {}

  counted(ref: FlowRef, head: number, reign: number): void {
    const tag = flowTag(ref)
    const before = this.#known.get(tag)
    if (before && (before.reign > reign || (before.reign === reign && before.head >= head))) return
    this.#known.delete(tag)
    this.#known.set(tag, { head, reign })
    const [oldest] = this.#known.keys()
    if (this.#known.size > KNOWN && oldest !== undefined) this.#known.delete(oldest)
  }
}
