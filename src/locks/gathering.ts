/** Something that may go out together with others of its kind. */
export interface Gathered {
  /** Only what has the same one goes together. */
  readonly group: number
}

interface Waiting<I, O> {
  readonly item: I
  readonly resolve: (answer: O) => void
  readonly reject: (error: unknown) => void
}

/**
 * What is asked in one turn of the event loop, or while others are under way, goes out together: one round trip and one
 * commit for many.
 */
export class Gathering<I extends Gathered, O> {
  readonly #run: (items: readonly I[]) => Promise<readonly O[]>
  readonly #parallel: number
  readonly #most: number
  #waiting: Waiting<I, O>[] = []
  #underWay = 0
  #scheduled = false

  constructor(
    run: (items: readonly I[]) => Promise<readonly O[]>,
    { parallel, most }: { readonly parallel: number; readonly most: number },
  ) {
    this.#run = run
    this.#parallel = parallel
    this.#most = most
  }

  /** Errors: those of the run that it went with. */
  ask(item: I): Promise<O> {
    return new Promise((resolve, reject) => {
      this.#waiting.push({ item, resolve, reject })
      this.#schedule()
    })
  }

  #schedule(): void {
    if (this.#scheduled || this.#underWay >= this.#parallel || this.#waiting.length === 0) return
    this.#scheduled = true
    setImmediate(() => {
      this.#scheduled = false
      while (this.#underWay < this.#parallel && this.#waiting.length > 0) void this.#go(this.#take())
    })
  }

  #take(): Waiting<I, O>[] {
    const group = this.#waiting[0]?.item.group
    let count = 0
    while (count < this.#most && this.#waiting[count]?.item.group === group && count < this.#waiting.length)
      count += 1
    return this.#waiting.splice(0, count)
  }

  async #go(batch: readonly Waiting<I, O>[]): Promise<void> {
    this.#underWay += 1
    try {
      const answers = await this.#run(batch.map(({ item }) => item))
      batch.forEach(({ resolve }, i) => {
        resolve(answers[i] as O)
      })
    } catch (error) {
      for (const { reject } of batch) reject(error)
    } finally {
      this.#underWay -= 1
      this.#schedule()
    }
  }
}
