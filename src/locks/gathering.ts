interface Waiting<I, O> {
  readonly item: I
  readonly resolve: (answer: O) => void
  readonly reject: (error: unknown) => void
}

/** How many go out at once. */
export interface Pace {
  /** Batches under way. */
  readonly parallel: number
  /** Items in one. */
  readonly most: number
}

/** Batches that may be under way, of all gatherings that share them. Order: who found none free gets the next one. */
export class Lanes {
  readonly #pace: () => Pace
  readonly #queue: (() => void)[] = []
  #used = 0

  constructor(pace: () => Pace) {
    this.#pace = pace
  }

  get free(): number {
    return Math.max(0, this.#pace().parallel - this.#used)
  }

  get most(): number {
    return this.#pace().most
  }

  enter(): void {
    this.#used += 1
  }

  leave(): void {
    this.#used -= 1
    this.#queue.shift()?.()
  }

  /** Calls `ask` once, when a batch has ended. */
  whenLeft(ask: () => void): void {
    this.#queue.push(ask)
  }
}

/** Fewer are not shared among batches. */
const FEW = 8

/**
 * What is asked in one turn of the event loop, or while others are under way, goes out together: one round trip, one
 * script or commit for many. An answer that is an error is one item's own; an error of the run is everybody's.
 */
export class Gathering<I, O> {
  readonly #run: (items: readonly I[]) => Promise<readonly (O | Error)[]>
  readonly #lanes: Lanes
  #waiting: Waiting<I, O>[] = []
  #scheduled = false

  constructor(run: (items: readonly I[]) => Promise<readonly (O | Error)[]>, lanes: Lanes) {
    this.#run = run
    this.#lanes = lanes
  }

  ask(item: I): Promise<O> {
    return new Promise((resolve, reject) => {
      this.#waiting.push({ item, resolve, reject })
      this.#schedule()
    })
  }

  #schedule(): void {
    if (this.#scheduled || this.#waiting.length === 0) return
    this.#scheduled = true
    setImmediate(() => this.#send())
  }

  /** What waits is shared: while the store works on one part, this process prepares another (bench/locks). */
  #send(): void {
    this.#scheduled = false
    for (let free = this.#lanes.free; free > 0 && this.#waiting.length > 0; free--) {
      const share = Math.max(FEW, Math.ceil(this.#waiting.length / free))
      void this.#go(this.#take(Math.min(this.#lanes.most, share)))
    }
    if (this.#waiting.length === 0) return
    this.#scheduled = true
    this.#lanes.whenLeft(() => setImmediate(() => this.#send()))
  }

  #take(count: number): readonly Waiting<I, O>[] {
    if (this.#waiting.length > count) return this.#waiting.splice(0, count)
    const all = this.#waiting
    this.#waiting = []
    return all
  }

  async #go(batch: readonly Waiting<I, O>[]): Promise<void> {
    this.#lanes.enter()
    try {
      const answers = await this.#run(batch.map(({ item }) => item))
      for (const [i, { resolve, reject }] of batch.entries()) {
        const answer = answers[i] as O | Error
        if (answer instanceof Error) reject(answer)
        else resolve(answer)
      }
    } catch (error) {
      for (const { reject } of batch) reject(error)
    } finally {
      this.#lanes.leave()
    }
  }
}
