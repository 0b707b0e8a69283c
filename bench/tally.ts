import { type Flow, SpillwayError } from 'spillway'

interface Publish {
  /** When it was called; of `performance.now()`. */
  readonly at: number
  readonly ms: number
  readonly flow: number
  /** The event's id, or the code of what went wrong. */
  readonly answer: { readonly id: string } | { readonly code: string }
}

/** Publishes to flows in turn, and remembers what became of each event. */
export class Tally {
  readonly #flows: readonly Flow[]
  readonly #publishes: Publish[] = []

  constructor(flows: readonly Flow[]) {
    this.#flows = flows
  }

  async publish(i: number): Promise<void> {
    const at = performance.now()
    const flow = i % this.#flows.length
    const answer = await this.#publishTo(flow, i)
    this.#publishes.push({ at, ms: performance.now() - at, flow, answer })
  }

  /** Of what was called between two moments. */
  within(from: number, to: number): { readonly took: number[]; readonly failures: string[] } {
    const some = this.#publishes.filter(({ at }) => at >= from && at < to)
    return {
      took: some.map(({ ms }) => ms),
      failures: some.flatMap(({ answer }) => ('code' in answer ? [answer.code] : [])),
    }
  }

  inTerm(term: number): number {
    return this.#ids().filter(({ id }) => termOf(id) === term).length
  }

  /** Events acknowledged in this term or later that their flow's history does not have now. */
  async missing(term: number): Promise<number> {
    let missing = 0
    for (const [i, flow] of this.#flows.entries()) {
      const there = new Set((await flow.history({ last: 1000 })).map(({ id }) => id))
      const own = this.#ids().filter((one) => one.flow === i && termOf(one.id) >= term)
      missing += own.filter(({ id }) => !there.has(id)).length
    }
    return missing
  }

  #ids(): { flow: number; id: string }[] {
    return this.#publishes.flatMap(({ flow, answer }) => ('id' in answer ? [{ flow, id: answer.id }] : []))
  }

  async #publishTo(flow: number, i: number): Promise<Publish['answer']> {
    try {
      const event = await this.#flows[flow]?.publish('progress', { i })
      return { id: event?.id ?? '' }
    } catch (error) {
      if (error instanceof SpillwayError) return { code: error.code }
      throw error
    }
  }
}

const termOf = (id: string) => Number(id.split('-')[0])
