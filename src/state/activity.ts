import type { FlowRef } from '../tenant.js'
import { flowTag } from '../tenant.js'
import type { FlowActivity, FlowStates } from './states.js'

const WRITE_MS = 2000
/** Flows of one statement: more would hold its row locks for long. */
const WRITE_FLOWS = 1000
/** Flows that wait at most: what is published to others while the store is away does not move them in the list. */
const WAITING_FLOWS = 50_000
/** A row that somebody else's transaction holds is left for the next round, so many times. */
const TRIES = 100

interface Waiting extends FlowActivity {
  readonly tries: number
}

export interface ActivityOptions {
  readonly writeMs?: number
  readonly waitingFlows?: number
}

/**
 * When flows were last published to, written for many of them together every few seconds: a publish itself
 * touches the log alone, and one in SQL leaves a note beside it. What a crash takes is the order of a list, for as
 * long as its flows stay silent.
 */
export class Activity {
  readonly #states: Pick<FlowStates, 'active' | 'takeActiveBySql'>
  readonly #options: Required<ActivityOptions>
  #waiting = new Map<string, Waiting>()
  #timer: NodeJS.Timeout | undefined
  #round: Promise<void> | undefined
  #looks = false
  #closed = false

  constructor(states: Pick<FlowStates, 'active' | 'takeActiveBySql'>, options: ActivityOptions = {}) {
    this.#states = states
    this.#options = { writeMs: WRITE_MS, waitingFlows: WAITING_FLOWS, ...options }
  }

  /** Looks from now on for what SQL publishes: nobody tells of that. */
  start(): void {
    this.#looks = true
    this.#arm()
  }

  /** An event of this flow was stored at `at`, in milliseconds since the epoch on the store's clock. */
  published({ tenant, flow }: FlowRef, at: number): void {
    const tag = flowTag({ tenant, flow })
    const known = this.#waiting.get(tag)
    if (!known && this.#waiting.size >= this.#options.waitingFlows) return
    // What SQL published is heard of late: it must not hide what came after it.
    this.#waiting.set(tag, { tenant, flow, at: Math.max(at, known?.at ?? at), tries: 0 })
    this.#arm()
  }

  /** Writes what waits. */
  async close(): Promise<void> {
    this.#closed = true
    clearTimeout(this.#timer)
    await this.#round
    await this.#write()
  }

  /** Takes what there is room for: what is taken is nowhere else. */
  async #look(): Promise<void> {
    for (let more = this.#looks; more && !this.#closed; ) {
      const room = Math.min(WRITE_FLOWS, this.#options.waitingFlows - this.#waiting.size)
      if (room <= 0) return
      // The store is away: what SQL has noted stays there.
      const taken = await this.#states.takeActiveBySql(room).catch(() => [])
      for (const { tenant, flow, at } of taken) this.published({ tenant, flow }, at)
      more = taken.length === room
    }
  }

  #arm(): void {
    if (this.#timer || this.#closed) return
    this.#timer = setTimeout(() => {
      this.#round = this.#look()
        .then(() => this.#write())
        .finally(() => {
          this.#timer = undefined
          this.#round = undefined
          if (this.#looks || this.#waiting.size > 0) this.#arm()
        })
    }, this.#options.writeMs)
    this.#timer.unref()
  }

  /** What the store does not take waits for the next round: the order of a list is not urgent. */
  async #write(): Promise<void> {
    const all = [...this.#waiting.values()]
    this.#waiting = new Map()
    for (let from = 0; from < all.length; from += WRITE_FLOWS) {
      const batch = all.slice(from, from + WRITE_FLOWS)
      try {
        const written = new Set((await this.#states.active(batch)).map(flowTag))
        for (const one of batch)
          if (!written.has(flowTag(one)) && one.tries + 1 < TRIES)
            this.#keep({ ...one, tries: one.tries + 1 })
      } catch {
        for (const one of all.slice(from)) this.#keep(one)
        return
      }
    }
  }

  #keep(one: Waiting): void {
    const tag = flowTag(one)
    if (!this.#waiting.has(tag) && this.#waiting.size < this.#options.waitingFlows)
      this.#waiting.set(tag, one)
  }
}
