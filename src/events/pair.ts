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
    let page: Page
    try {
      page = await this.#durable.read(ref, range)
    } catch (error) {
      const unknown = this.#kinds.durabilityOf(ref) === undefined ? [ref] : []
      const [found] = await this.#fastOnes(unknown, async () => [await this.#fast.read(ref, range)])
      if (found) return found
      throw error
    }
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
    const unsure = others.filter((i) => this.#kinds.durabilityOf(flows[i] as Since) !== 'durable')
    if (second.status === 'rejected') {
      await this.#into(pages, unsure, flows, (sinces) =>
        this.#fastOnes(sinces, () => this.#fast.readSince(sinces, limit)),
      )
    } else {
      const turnedOut = others.filter((i) => this.#learn(flows[i] as Since, pages[i] as Page) === 'fast')
      for (const i of turnedOut) pages[i] = undefined
      await this.#into(pages, turnedOut, flows, (sinces) => this.#fast.readSince(sinces, limit))
    }
    if (pages.some((page) => page !== undefined)) return pages
    const failed = [first, second].find((result) => result.status === 'rejected')
    if (failed) throw failed.reason
    return pages
  }

  /**
   * Those of these flows that are fast, as the store that reigns can tell: PostgreSQL, which knows it of all flows,
   * could not be asked. Others are undefined.
   */
  async #fastOnes(
    flows: readonly FlowRef[],
    read: () => Promise<readonly Page[]>,
  ): Promise<readonly (Page | undefined)[]> {
    if (flows.length === 0) return []
    // It may be away as well; then the first failure says enough.
    const pages = await read().catch(() => [])
    return flows.map((ref, i) => (pages[i] && this.#learn(ref, pages[i]) === 'fast' ? pages[i] : undefined))
  }

  #learn(ref: FlowRef, { durability }: Page): Page['durability'] {
    if (durability) this.#kinds.learn(ref, durability)
    return durability
  }

  async #into(
    pages: (Page | undefined)[],
    places: readonly number[],
    flows: readonly Since[],
    ask: (sinces: readonly Since[]) => Promise<readonly (Page | undefined)[]>,
  ): Promise<void> {
    if (places.length === 0) return
    const found = await ask(places.map((i) => flows[i] as Since))
    places.forEach((place, i) => {
      pages[place] = found[i]
    })
  }
}
