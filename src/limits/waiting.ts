import { aborted } from '../errors.js'
import type { Reign } from '../term/term.js'
import type { Outcome, Take } from './limits.js'

/** What the store that reigns says of a take. */
export interface Answer {
  readonly outcome: Outcome
  readonly reign: Reign
  /** When it was asked; of `performance.now()`. */
  readonly askedAt: number
  /** An earlier try may have been counted too. */
  readonly again: boolean
}

/** A take that waits for a store, and who waits for it. */
export class Waiting {
  readonly take: Take
  /** Undefined: no store says it in time. Errors: `ABORTED`, and those of the store. */
  readonly answer: Promise<Answer | undefined>
  again = false
  settled = false
  #deadline: number
  #spared = false
  #resolve: (answer: Answer | undefined) => void = () => undefined
  #reject: (error: unknown) => void = () => undefined
  readonly #all: Set<Waiting>
  readonly #signal: AbortSignal | undefined
  readonly #abort: (() => void) | undefined

  /** `all` holds it until it is settled. */
  constructor(take: Take, options: { deadline: number; signal: AbortSignal | undefined }, all: Set<Waiting>) {
    this.take = take
    this.#deadline = options.deadline
    this.#all = all
    this.#signal = options.signal
    this.answer = new Promise((resolve, reject) => {
      this.#resolve = resolve
      this.#reject = reject
    })
    all.add(this)
    const { signal } = options
    if (!signal) return
    this.#abort = () => this.fail(aborted(signal))
    signal.addEventListener('abort', this.#abort, { once: true })
  }

  get deadline(): number {
    return this.#deadline
  }

  /** Once: a process that is busy all the time gets its answers, too. */
  spare(until: number): void {
    if (!this.#spared) this.#deadline = Math.max(this.#deadline, until)
    this.#spared = true
  }

  settle(answer: Answer | undefined): void {
    this.#end()
    this.#resolve(answer)
  }

  fail(error: unknown): void {
    this.#end()
    this.#reject(error)
  }

  #end(): void {
    this.settled = true
    this.#all.delete(this)
    if (this.#abort) this.#signal?.removeEventListener('abort', this.#abort)
  }
}
