import type { Verdict } from '../limits/verdict.js'

/** A lease that is looked after more often would cost more than it is worth. */
const LEAST_PAUSE_MS = 100

/** The lease of a verdict, renewed until it is ended: what it is for may take longer than a lease lasts. */
export class KeptLease {
  readonly #verdict: Verdict
  readonly #pauseMs: number
  #timer: NodeJS.Timeout | undefined
  #ended = false

  constructor(verdict: Verdict) {
    const leased = verdict.limits.filter(({ algorithm }) => algorithm === 'concurrency')
    this.#verdict = verdict
    this.#pauseMs = Math.max(LEAST_PAUSE_MS, Math.min(...leased.map(({ perMs }) => perMs)) / 3)
    this.#later()
  }

  async end(): Promise<void> {
    this.#ended = true
    clearTimeout(this.#timer)
    await this.#verdict.release()
  }

  #later(): void {
    if (!this.#ended) this.#timer = setTimeout(() => void this.#renew(), this.#pauseMs).unref()
  }

  async #renew(): Promise<void> {
    // What no store answers is asked again: the lease lasts for two more pauses.
    const goesOn = await this.#verdict.renew().catch(() => true)
    if (goesOn) this.#later()
  }
}
