import { describe, expect, it } from 'vitest'
import type { Cursor } from '../../src/events/cursor.js'
import { Feed } from '../../src/events/feed.js'
import type { LogReader, Page, StoredEvent } from '../../src/events/log.js'
import { Subscription } from '../../src/events/subscription.js'
import { eventually } from '../support/eventually.js'

const eventAt = (seq: number, term: number): StoredEvent => ({
  term,
  seq,
  type: 'tick',
  source: 'test',
  payload: String(seq),
  at: 1,
})

/** A fast flow on a store that reigns in term 7 and has counted to 10 in term 5; a feed of it, and one reader. */
class Model {
  events: StoredEvent[] = []
  reads = 0
  readonly seen: string[] = []
  readonly feed: Feed
  readonly #page = (after: number): Page => {
    const events = this.events.filter(({ seq }) => seq > after)
    const newest = this.events.at(-1)
    const position = newest
      ? { term: newest.term, termFrom: this.events[0]?.seq ?? 1, head: newest.seq, floor: 0 }
      : { term: 5, termFrom: 3, head: 10, floor: 0 }
    return { durability: 'fast', events, position: { ...position, reign: { number: 7, certain: true } } }
  }

  constructor() {
    const log: LogReader = {
      read: async (_, { after = 0 }) => {
        this.reads += 1
        return this.#page(after)
      },
      readSince: async (flows) => flows.map(({ after }) => this.#page(after)),
    }
    this.feed = new Feed(
      { tenant: 't', flow: 'f' },
      { log, onStale: () => this.look(), onEmpty: () => undefined },
    )
  }

  look(): void {
    const after = this.feed.seq
    setImmediate(() => {
      const { position, events } = this.#page(after ?? Number.MAX_SAFE_INTEGER)
      this.feed.found(position, events, after ?? 0)
    })
  }

  subscribe(cursor: Cursor): Subscription {
    return new Subscription(this.feed, cursor, {
      opened: () => true,
      deliver: ({ items }) => {
        for (const { event, gap } of items)
          this.seen.push(gap ? `${gap.reason} ${gap.from} ${gap.to}` : `${event?.term}-${event?.seq}`)
        return true
      },
    })
  }
}

describe('a reader of a fast flow whose store has changed', () => {
  it.each([
    ['has more than the new one', 12],
    ['has less than the new one has counted', 8],
  ])('waits without reading again and again where it %s, and gets what follows once', async (_, seq) => {
    const model = new Model()
    const subscription = model.subscribe({ term: 6, seq })
    await eventually(() => model.reads === 1)
    for (let turn = 0; turn < 50; turn++) await new Promise((resolve) => setImmediate(resolve))
    expect(model.reads).toBe(1)
    model.events = [eventAt(20, 7), eventAt(21, 7)]
    model.look()
    await eventually(() => model.seen.length >= 3)
    model.events.push(eventAt(22, 7))
    model.feed.offer([eventAt(22, 7)])
    await eventually(() => model.seen.length >= 4)
    expect(model.seen).toEqual([`turn 7-${seq + 1} 7-19`, '7-20', '7-21', '7-22'])
    subscription.close()
  })

  it('gets each event once where it comes from an instance that was quicker', async () => {
    const model = new Model()
    model.events = [eventAt(20, 7)]
    const first = model.subscribe({ term: 7, seq: 20 })
    await eventually(() => model.feed.place?.seq === 20)
    model.events.push(eventAt(21, 7))
    const second = model.subscribe({ term: 7, seq: 21 })
    await eventually(() => model.reads === 1)
    for (let turn = 0; turn < 50; turn++) await new Promise((resolve) => setImmediate(resolve))
    model.events.push(eventAt(22, 7))
    model.feed.offer([eventAt(21, 7), eventAt(22, 7)])
    await eventually(() => model.seen.length >= 3)
    for (let turn = 0; turn < 50; turn++) await new Promise((resolve) => setImmediate(resolve))
    expect(model.seen).toEqual(['7-21', '7-22', '7-22'])
    first.close()
    second.close()
  })
})
