import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import type { Delivery } from '../../src/events/delivery.js'
import { Feed } from '../../src/events/feed.js'
import type { EventLog, StoredEvent } from '../../src/events/log.js'

const ref = { tenant: 'acme', flow: 'f' }

function eventAt(seq: number, term = 1): StoredEvent {
  return { term, seq, type: 'tick', source: 'test', payload: String(seq), at: 0 }
}

type Step =
  | { does: 'commit'; events: number; offered: boolean }
  | { does: 'tell' }
  | { does: 'send' }
  | { does: 'take' }
  | { does: 'answer'; limit: number }
  | { does: 'turn' }

const step: fc.Arbitrary<Step> = fc.oneof(
  fc.record({
    does: fc.constant('commit' as const),
    events: fc.integer({ min: 1, max: 4 }),
    offered: fc.boolean(),
  }),
  fc.record({ does: fc.constantFrom('tell' as const, 'send' as const, 'take' as const) }),
  fc.record({ does: fc.constant('answer' as const), limit: fc.integer({ min: 1, max: 5 }) }),
  fc.record({ does: fc.constant('turn' as const) }),
)

/** The log's side: what is committed, and a look that is sent, taken at some later moment and answered at another. */
class Model {
  readonly delivered: number[] = []
  readonly events: StoredEvent[] = []
  readonly feed: Feed
  stale = false
  #untold: StoredEvent[] = []
  #sent: { after: number; head?: number } | undefined

  constructor() {
    // Nothing reads through the feed here.
    const log: Pick<EventLog, 'read'> = { read: () => Promise.reject(new Error('unread')) }
    this.feed = new Feed(ref, {
      log: log as EventLog,
      onStale: () => {
        this.stale = true
      },
      onEmpty: () => undefined,
    })
    this.feed.join({
      advance: (delivery: Delivery) => {
        for (const { event } of delivery.items) if (event) this.delivered.push(event.seq)
      },
    })
  }

  run(step: Step): Promise<void> | void {
    if (step.does === 'commit') return this.#commit(step.events, step.offered)
    if (step.does === 'tell') return this.#tell()
    if (step.does === 'send') return this.#send()
    if (step.does === 'take') return this.#take()
    if (step.does === 'answer') return this.#answer(step.limit)
    return new Promise((resolve) => setImmediate(resolve))
  }

  /** Looks until the feed has what the log has. */
  async settle(): Promise<void> {
    for (let round = 0; round < 200; round++) {
      this.#send()
      this.#answer(50)
      await new Promise((resolve) => setImmediate(resolve))
      if (this.feed.place?.seq === this.events.length) return
    }
  }

  #commit(count: number, offered: boolean): void {
    const fresh = Array.from({ length: count }, (_, i) => eventAt(this.events.length + 1 + i))
    this.events.push(...fresh)
    // What another process committed is offered by nobody.
    if (offered) this.#untold.push(...fresh)
  }

  /** This process learns of its commits later than a look may see them. */
  #tell(): void {
    const events = this.#untold
    this.#untold = []
    if (events.length > 0) this.feed.offer(events)
  }

  #send(): void {
    this.#sent ??= { after: this.feed.seq ?? Number.MAX_SAFE_INTEGER }
  }

  #take(): void {
    if (this.#sent) this.#sent.head ??= this.events.length
  }

  #answer(limit: number): void {
    this.#take()
    const { after, head = 0 } = this.#sent ?? { after: -1 }
    this.#sent = undefined
    if (after < 0) return
    const events = this.events.slice(after, head).slice(0, limit)
    this.feed.found({ term: 1, termFrom: 1, head, floor: 0 }, events, after)
  }
}

describe('a feed', () => {
  it('delivers each event once and in order, however commits, looks and turns interleave', async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(step, { maxLength: 60, size: 'max' }), async (steps) => {
        const model = new Model()
        let first: number | undefined
        for (const next of steps) {
          await model.run(next)
          first ??= model.feed.place && model.feed.place.seq - model.delivered.length
        }
        await model.settle()
        const start = first ?? model.events.length - model.delivered.length
        expect(model.delivered).toEqual(model.events.slice(start).map(({ seq }) => seq))
        expect(model.feed.place?.seq).toBe(model.events.length)
      }),
      { numRuns: 500 },
    )
  })

  it('asks for another look when events that it was offered do not follow on its place', async () => {
    const model = new Model()
    model.feed.found({ term: 1, termFrom: 1, head: 3, floor: 0 }, [], 0)
    model.feed.offer([eventAt(5)])
    expect(model.stale).toBe(true)
    model.stale = false
    model.feed.offer([eventAt(4, 2)])
    expect(model.stale).toBe(true)
    await new Promise((resolve) => setImmediate(resolve))
    expect(model.delivered).toEqual([])
  })

  it('tells its readers what the log has lost or trimmed behind its place, and goes on', async () => {
    const gaps: unknown[] = []
    const model = new Model()
    model.feed.join({
      advance: ({ items }) => {
        for (const { gap } of items) if (gap) gaps.push(gap)
      },
    })
    model.feed.found({ term: 1, termFrom: 1, head: 10, floor: 0 }, [], 0)
    // Everything up to 12 was trimmed while this process could not look.
    model.feed.found({ term: 1, termFrom: 1, head: 14, floor: 12 }, [eventAt(13), eventAt(14)], 10)
    expect(gaps).toEqual([{ flow: 'f', from: '1-11', to: '1-12', reason: 'trimmed' }])
    expect(model.delivered).toEqual([13, 14])
    // An older state was restored: 12 and later are events of a new life.
    const news = [eventAt(12, 2), eventAt(13, 2), eventAt(14, 2), eventAt(15, 2)]
    const position = { term: 2, termFrom: 12, head: 15, floor: 0 }
    model.feed.found(position, news.slice(3), 14)
    expect(gaps[1]).toEqual({ flow: 'f', from: '1-12', to: '1-14', reason: 'lost' })
    expect(model.stale).toBe(true)
    model.feed.found(position, news, 11)
    expect(model.delivered).toEqual([13, 14, 12, 13, 14, 15])
    expect(model.feed.place).toMatchObject({ term: 2, seq: 15 })
  })
})
