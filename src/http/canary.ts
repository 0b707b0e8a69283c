import { SpillwayError } from '../errors.js'
import type { Flow } from '../events/flow.js'
import type { Spillway } from '../spillway.js'

/** Tenant of the events that prove delivery. */
export const CANARY_TENANT = 'spillway'

export interface Proof {
  /** Term of the log that the event was written to. */
  readonly term: number
  /** From the publish to the arrival. */
  readonly ms: number
}

/** A proof is good for so long: however often somebody asks, one event a second. */
const GOOD_FOR_MS = 1000
const PATIENCE_MS = 3000

/** Proves delivery: publishes an event and sees it arrive through live delivery, as a reader would. */
export class Canary {
  readonly #flow: Flow
  readonly #closed = new AbortController()
  readonly #awaited = new Map<string, () => void>()
  #watch: AbortController | undefined
  #proof: Promise<Proof> | undefined

  constructor(spillway: Spillway) {
    this.#flow = spillway.tenant(CANARY_TENANT).flow(`readiness ${spillway.instanceId}`.slice(0, 128))
  }

  /** The latest proof. Errors: `NOT_READY` (temporary). */
  prove(): Promise<Proof> {
    this.#proof ??= this.#fly().finally(() => {
      setTimeout(() => {
        this.#proof = undefined
      }, GOOD_FOR_MS).unref()
    })
    return this.#proof
  }

  close(): void {
    this.#closed.abort()
  }

  async #fly(): Promise<Proof> {
    // Not `AbortSignal.timeout` within `any`: on Node 20 the collector may take it before it fires.
    const late = new AbortController()
    const timer = setTimeout(() => late.abort(), PATIENCE_MS)
    const patience = AbortSignal.any([late.signal, this.#closed.signal])
    try {
      if (!this.#watch) {
        const { id } = await this.#flow.publish('canary', {}, { source: 'spillway', signal: patience })
        this.#follow(id)
      }
      const sentAt = performance.now()
      const { id } = await this.#flow.publish('canary', {}, { source: 'spillway', signal: patience })
      await this.#arrival(id, patience)
      return { term: Number(id.split('-')[0]), ms: Math.round((performance.now() - sentAt) * 10) / 10 }
    } catch (error) {
      this.#watch?.abort()
      this.#watch = undefined
      throw new SpillwayError('NOT_READY', `No event travels: ${messageOf(error)}`, {
        cause: error,
        retryAfterMs: GOOD_FOR_MS,
      })
    } finally {
      clearTimeout(timer)
    }
  }

  #seen: string[] = []

  #arrival(id: string, patience: AbortSignal): Promise<void> {
    return new Promise((resolve, reject) => {
      const forget = () => this.#awaited.delete(id)
      const lost = () => {
        forget()
        reject(new Error('an event was stored, but did not arrive'))
      }
      // It may have arrived before its publisher had the answer.
      if (this.#seen.includes(id)) return resolve()
      this.#awaited.set(id, () => {
        forget()
        patience.removeEventListener('abort', lost)
        resolve()
      })
      patience.addEventListener('abort', lost, { once: true })
      if (patience.aborted) lost()
    })
  }

  /** Reads the flow as a subscriber does, until the watch ends. */
  #follow(after: string): void {
    const watch = new AbortController()
    this.#watch = watch
    const signal = AbortSignal.any([watch.signal, this.#closed.signal])
    const read = async () => {
      for await (const event of this.#flow.subscribe({ after, signal })) {
        this.#seen = [...this.#seen.slice(-9), event.id]
        this.#awaited.get(event.id)?.()
      }
    }
    // Its end is told by the events that then do not arrive.
    read().catch(() => {
      if (this.#watch === watch) this.#watch = undefined
    })
  }
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error)
}
