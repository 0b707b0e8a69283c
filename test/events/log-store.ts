import { LEAP } from '../../src/events/kinds.js'
import type { Draft, Durability, EventLog, LogReader, Outcome } from '../../src/events/log.js'
import { type FlowRef, flowTag } from '../../src/tenant.js'
import { eventOf, newBatch } from './drafts.js'

/** A way into the logs of flows and out of them, as the conformance suites see it, with what its contract leaves open. */
export interface LogStore {
  readonly log: LogReader
  /** Of the flows that the suites make. */
  readonly durability: Durability
  /** Whether numbers may leap when something happens to the store. */
  readonly leaps: boolean
  append(drafts: readonly Draft[]): Promise<readonly Outcome[]>
  /** Waits until something has happened to the store; resolves at once where nothing does. */
  happening(): Promise<void>
  /** Runs `body` while nothing happens, on the store that has everything: for what is promised within a reign only. */
  quietly<T>(body: () => Promise<T>): Promise<T>
  close(): Promise<void>
}

/** A log to which nothing happens while the suite runs. */
export function stillStore(log: EventLog, durability: Durability, close: () => Promise<void>): LogStore {
  return {
    log,
    durability,
    leaps: false,
    append: (drafts) => log.append(drafts, newBatch()),
    happening: () => Promise.resolve(),
    quietly: (body) => body(),
    close,
  }
}

/**
 * Counts the events of each flow 1, 2, 3 … by their numbers. Where numbers may leap it lets them, once they have
 * grown so far that nobody can take the hole for events that are still to come; elsewhere a number is its own count.
 */
export class Counts {
  readonly #leaps: boolean
  readonly #seen = new Map<string, number[]>()

  constructor({ leaps }: Pick<LogStore, 'leaps'>) {
    this.#leaps = leaps
  }

  of(ref: FlowRef, seq: number): number {
    if (!this.#leaps) return seq
    const seen = this.#seen.get(flowTag(ref)) ?? []
    this.#seen.set(flowTag(ref), seen)
    const known = seen.indexOf(seq)
    if (known >= 0) return known + 1
    const last = seen.at(-1) ?? 0
    if (seq !== last + 1 && seq < last + LEAP / 2) throw new Error(`${seq} came behind ${last}`)
    return seen.push(seq)
  }

  /** The counts of what became of drafts of one flow. */
  all(ref: FlowRef, outcomes: readonly (Outcome | undefined)[]): number[] {
    return outcomes.map((outcome) => this.of(ref, eventOf(outcome).seq))
  }
}
