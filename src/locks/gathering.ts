import { atTurnsEnd } from '../turns.js'

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

/** Fewer are not shared among batches. */
const FEW = 16

/**
 * What is asked in one turn of the event loop, or while others are under way, goes out together: one round trip, one
 * script or commit for many. An answer that is an error is one item's own; an error of the run is everybody's.
 */
export class Gathering<I, O> {
  readonly #run: (items: readonly I[]) => Promise<readonly (O | Error)[]>
  readonly #pace: () => Pace
  #waiting: Waiting<I, O>[] = []
  #underWay = 0
  #scheduled = false

  constructor(run: (items: readonly I[]) => Promise<readonly (O | Error)[]>, pace: () => Pace) {
    this.#run = run
    this.#pace = pace
  }

  ask(item: I): Promise<O> {
    return new Promise((resolve, reject) => {
      this.#waiting.push({ item, resolve, reject })
      if (!this.#scheduled) this.#schedule()
    })
  }

  #schedule(): void {
    if (this.#scheduled || this.#waiting.length === 0) return
    this.#scheduled = true
    atTurnsEnd(() => {
      this.#scheduled = false
      const { parallel, most } = this.#pace()
      if (this.#underWay >= parallel) return
      // What waits is shared, a part a turn: while the store works on one, this process prepares another. Written
      // together they would be answered together, and the two would take turns (bench/locks).
      const share = Math.ceil(this.#waiting.length / (parallel - this.#underWay))
      void this.#go(this.#take(Math.min(most, Math.max(FEW, share))))
      this.#schedule()
    })
  }

  #take(count: number): readonly Waiting<I, O>[] {
    if (this.#waiting.length > count) return this.#waiting.splice(0, count)
    const all = this.#waiting
    this.#waiting = []
    return all
  }

  async #go(batch: readonly Waiting<I, O>[]): Promise<void> {
    this.#underWay += 1
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
      this.#underWay -= 1
      this.#schedule()
    }
  }
}
