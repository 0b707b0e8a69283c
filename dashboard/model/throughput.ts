interface Sample {
  readonly at: number
  readonly done: number
}

const MOST = 240

/** Work done over time: the rate now, overall, and as a line. */
export class Throughput {
  #samples: Sample[] = []

  /** Nothing was done yet, as of now. */
  start(at: number): void {
    if (this.#samples.length === 0) this.add(at, 0)
  }

  add(at: number, done: number): void {
    const last = this.#samples.at(-1)
    // Started anew: what was done counts again from there.
    if (last && done < last.done) this.#samples = []
    if (last && at <= last.at) this.#samples.pop()
    this.#samples.push({ at: Math.max(at, last?.at ?? at), done })
    // Half of the points say the same over twice the time.
    if (this.#samples.length > MOST)
      this.#samples = this.#samples.filter((_, index) => index % 2 === 0 || index === MOST)
  }

  /** Units a second over everything. */
  get mean(): number | undefined {
    const [first] = this.#samples
    const last = this.#samples.at(-1)
    if (!first || !last || last.at <= first.at) return undefined
    return ((last.done - first.done) * 1000) / (last.at - first.at)
  }

  /** Units a second in `points` equal stretches of time. */
  line(points: number): readonly number[] {
    const first = this.#samples[0]
    const last = this.#samples.at(-1)
    if (!first || !last || last.at <= first.at) return []
    const step = (last.at - first.at) / points
    const doneAt = (at: number): number => {
      const next = this.#samples.findIndex((sample) => sample.at >= at)
      const right = this.#samples[next] ?? last
      const left = this.#samples[next - 1] ?? first
      if (right.at === left.at) return right.done
      return left.done + ((right.done - left.done) * (at - left.at)) / (right.at - left.at)
    }
    return Array.from({ length: points }, (_, index) => {
      const from = first.at + index * step
      return ((doneAt(from + step) - doneAt(from)) * 1000) / step
    })
  }
}
