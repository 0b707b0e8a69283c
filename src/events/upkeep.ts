import type { FlowStates } from '../state/states.js'
import type { FlowRef } from '../tenant.js'
import { flowTag } from '../tenant.js'
import type { EventLog, Outcome, Retention } from './log.js'

/** Retention is overstepped by this factor before a flow is trimmed: one deletion for many publishes. */
const SLACK = 1.1
const SWEEP_MS = 10_000
const SWEEP_FLOWS = 200

/**
 * Keeps every flow within its retention. By count: the process that publishes sees a flow grow and trims it.
 * By age: every process sweeps the flows whose oldest event is too old, and those that have none for long.
 */
export class Upkeep {
  readonly #log: EventLog
  readonly #states: FlowStates
  readonly #retention: Retention
  readonly #floors = new Map<string, number>()
  readonly #due = new Map<string, FlowRef>()
  #timer: NodeJS.Timeout | undefined
  #working: Promise<void> | undefined
  #closed = false

  constructor(log: EventLog, states: FlowStates, retention: Retention) {
    this.#log = log
    this.#states = states
    this.#retention = retention
  }

  start(): void {
    this.#timer = setInterval(() => this.#wake(true), SWEEP_MS)
    this.#timer.unref()
  }

  /** A flow has grown by these events. */
  stored(ref: FlowRef, outcome: Outcome): void {
    if (!('event' in outcome) || outcome.event.seq <= this.#retention.maxEvents * SLACK) return
    const tag = flowTag(ref)
    const floor = this.#floors.get(tag) ?? 0
    if (outcome.event.seq - floor <= this.#retention.maxEvents * SLACK) return
    this.#due.set(tag, ref)
    this.#wake(false)
  }

  async close(): Promise<void> {
    this.#closed = true
    clearInterval(this.#timer)
    await this.#working
  }

  #wake(sweep: boolean): void {
    if (this.#working || this.#closed) return
    // A failed round is made up for by the next sweep: retention is never urgent.
    this.#working = this.#work(sweep)
      .catch(() => undefined)
      .finally(() => {
        this.#working = undefined
      })
  }

  async #work(sweep: boolean): Promise<void> {
    for (let next = first(this.#due); next && !this.#closed; next = first(this.#due)) {
      const [tag, ref] = next
      const { position } = await this.#log.read(ref, { order: 'asc', limit: 1 })
      const trimmed = await this.#log.trim(ref, this.#retention)
      if (this.#floors.size > 10_000) this.#floors.clear()
      this.#floors.set(tag, position.floor + trimmed)
      if (trimmed === 0 || position.head - position.floor - trimmed <= this.#retention.maxEvents)
        this.#due.delete(tag)
    }
    if (sweep && !this.#closed) await this.#sweep()
  }

  async #sweep(): Promise<void> {
    await this.#log.trimOldest(this.#retention, SWEEP_FLOWS)
    await this.#log.forget(this.#retention, SWEEP_FLOWS)
    await this.#states.forget(this.#retention.flowAgeMs, SWEEP_FLOWS)
  }
}

function first<K, V>(map: ReadonlyMap<K, V>): readonly [K, V] | undefined {
  for (const entry of map) return entry
  return undefined
}
