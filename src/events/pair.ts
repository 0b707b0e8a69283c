import type { FlowRef } from '../tenant.js'
import type { FastLog } from './fast.js'
import type { Kinds } from './kinds.js'
import type { LogReader, Page, Range, Since } from './log.js'
import type { PostgresLog } from './postgres.js'

/** Every flow read where its log is: durable ones in PostgreSQL, fast ones on the store that reigns. */
export class PairReader implements LogReader {
  readonly #durable: PostgresLog
  readonly #fast: FastLog
  readonly #kinds: Kinds

  constructor(parts: { durable: PostgresLog; fast: FastLog; kinds: Kinds }) {
    this.#durable = parts.durable
    this.#fast = parts.fast
    this.#kinds = parts.kinds
  }

  async read(ref: FlowRef, range: Range): Promise<Page> {
    if (this.#kinds.durabilityOf(ref) === 'fast') return this.#fast.read(ref, range)
    const page = await this.#durable.read(ref, range)
    return this.#learn(ref, page) === 'fast' ? this.#fast.read(ref, range) : page
  }

  async readSince(flows: readonly Since[], limit: number): Promise<readonly (Page | undefined)[]> {
    const pages: (Page | undefined)[] = flows.map(() => undefined)
    const fast = flows.flatMap((since, i) => (this.#kinds.durabilityOf(since) === 'fast' ? [i] : []))
    const others = flows.flatMap((since, i) => (this.#kinds.durabilityOf(since) === 'fast' ? [] : [i]))
    const [first, second] = await Promise.allSettled([
      this.#into(pages, fast, flows, (sinces) => this.#fast.readSince(sinces, limit)),
      this.#into(pages, others, flows, (sinces) => this.#durable.readSince(sinces, limit)),
    ])
    const turnedOut = others.filter((i) => {
      const page = pages[i]
      return page && this.#learn(flows[i] as Since, page) === 'fast'
    })
    if (turnedOut.length > 0) {
      for (const i of turnedOut) pages[i] = undefined
      await this.#into(pages, turnedOut, flows, (sinces) => this.#fast.readSince(sinces, limit))
    }
    if (pages.some((page) => page !== undefined)) return pages
    const failed = [first, second].find((result) => result.status === 'rejected')
    if (failed) throw failed.reason
    return pages
  }

  #learn(ref: FlowRef, { durability }: Page): Page['durability'] {
    if (durability) this.#kinds.learn(ref, durability)
    return durability
  }

  async #into(
    pages: (Page | undefined)[],
    places: readonly number[],
    flows: readonly Since[],
    ask: (sinces: readonly Since[]) => Promise<readonly Page[]>,
  ): Promise<void> {
    if (places.length === 0) return
    const found = await ask(places.map((i) => flows[i] as Since))
    places.forEach((place, i) => {
      pages[place] = found[i]
    })
  }
}
