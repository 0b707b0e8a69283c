import type { FlowRef } from '../tenant.js'
import { flowTag } from '../tenant.js'
import type { Outcome, RetainedLog, Retention } from './log.js'

/** Retention is overstepped by this factor before a flow is trimmed: one deletion for many publishes. */
const SLACK = 1.1
const SWEEP_MS = 10_000
const SWEEP_FLOWS = 200
/** Flows of which the floor is remembered. */
const FLOORS = 100_000
/** Flows trimmed by one statement. */
const TRIM_FLOWS = 100

/** What is kept beside the logs of flows, and has to be told when it is old. */
export interface Forgetful {
  /** Forgets what nobody has touched for so long; at most so many of each kind. Answers how many. */
  forget(olderThanMs: number, most: number): Promise<number>
}

/**
 * Keeps every flow within its retention. By count: the process that publishes sees a flow grow and trims it.
 * By age: every process sweeps the flows whose oldest event is too old, and those that have none for long.
 */
export class Upkeep {
  readonly #log: RetainedLog
  readonly #beside: readonly Forgetful[]
  readonly #retention: Retention
  readonly #floors = new Map<string, number>()
  /** Flows to trim, and the seq at which that was seen. */
  readonly #due = new Map<string, { readonly ref: FlowRef; readonly seq: number }>()
  #timer: NodeJS.Timeout | undefined
  #working: Promise<void> | undefined
  #sweepDue = false
  #closed = false

  constructor(
    parts: { readonly log: RetainedLog; readonly beside: readonly Forgetful[] },
    retention: Retention,
  ) {
    this.#log = parts.log
    this.#beside = parts.beside
    this.#retention = retention
  }

  start(): void {
    this.#timer = setInterval(() => this.#wake(true), SWEEP_MS)
    this.#timer.unref()
  }

  /** A flow has grown by these events. */
  stored(ref: FlowRef, outcome: Outcome): void {
    if (!('event' in outcome) || outcome.event.seq <= this.#retention.maxEvents * SLACK) return
    const { seq } = outcome.event
    const tag = flowTag(ref)
    // The numbers of a fast flow leap: only what is seen from here on is counted.
    const floor = this.#floors.get(tag) ?? (outcome.durability === 'fast' ? seq - 1 : 0)
    if (this.#floors.size > FLOORS) this.#floors.clear()
    this.#floors.set(tag, floor)
    if (seq - floor <= this.#retention.maxEvents * SLACK) return
    this.#due.set(tag, { ref, seq })
    this.#wake(false)
  }

  async close(): Promise<void> {
    this.#closed = true
    clearInterval(this.#timer)
    await this.#working
  }

  #wake(sweep: boolean): void {
    this.#sweepDue ||= sweep
    if (this.#working || this.#closed) return
    this.#working = this.#work().finally(() => {
      this.#working = undefined
    })
  }

  /** What fails is left to a later round, and never keeps the rest from its turn: retention is not urgent. */
  async #work(): Promise<void> {
    await this.#sweep()
    for (let progress = true; progress && !this.#closed; ) {
      progress = false
      const due = [...this.#due]
      for (let i = 0; i < due.length && !this.#closed; i += TRIM_FLOWS) {
        await this.#sweep()
        progress = (await this.#trim(due.slice(i, i + TRIM_FLOWS))) || progress
      }
    }
  }

  async #sweep(): Promise<void> {
    if (!this.#sweepDue) return
    this.#sweepDue = false
    const { flowAgeMs } = this.#retention
    // To the end: what comes faster than one step a sweep would grow for ever.
    await this.#repeat(() => this.#log.trimOldest(this.#retention, SWEEP_FLOWS))
    await this.#repeat(() => this.#log.forget(this.#retention, SWEEP_FLOWS))
    for (const one of this.#beside) await this.#repeat(() => one.forget(flowAgeMs, SWEEP_FLOWS))
  }

  async #repeat(step: () => Promise<number>): Promise<void> {
    while (!this.#closed && (await step().catch(() => 0)) > 0);
  }

  /** Answers false if the log let none of them: they stay due. */
  async #trim(due: readonly [string, { readonly ref: FlowRef; readonly seq: number }][]): Promise<boolean> {
    // Before the look: what is published from here on makes a flow due again.
    for (const [tag] of due) this.#due.delete(tag)
    let progress = false
    try {
      const trimmed = await this.#log.trim(
        due.map(([, { ref }]) => ref),
        this.#retention,
      )
      due.forEach(([tag, one], i) => {
        const left = trimmed[i]
        if (left) this.#floors.set(tag, Math.max(left.floor, one.seq - this.#retention.maxEvents))
        if (!left || left.more) this.#due.set(tag, one)
        progress ||= left !== undefined
      })
      return progress
    } catch {
      for (const [tag, one] of due) this.#due.set(tag, one)
      return false
    }
  }
}
