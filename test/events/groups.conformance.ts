import { randomUUID } from 'node:crypto'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import type { Flow, FlowEvent, Spillway } from '../../src/index.js'
import { keepingOf } from '../../src/spillway.js'
import { eventually } from '../support/eventually.js'
import { upTo } from './readers.js'

export interface GroupStore {
  open(): Promise<Spillway>
  /** Takes away the work of the flow's groups from whoever has it, as a long silence would. */
  takeAway(flow: Flow): Promise<void>
  close(): Promise<void>
}

/** What groups of processors get, whichever store keeps how far they are. */
export function groupsConformance(name: string, begin: () => Promise<GroupStore>): void {
  describe(name, () => {
    let store: GroupStore
    let a: Spillway
    let b: Spillway
    let names = 0
    beforeAll(async () => {
      store = await begin()
      a = await store.open()
      b = await store.open()
    })
    afterAll(async () => {
      await Promise.all([a?.close(), b?.close()])
      await store?.close()
    })

    const flows = (): [Flow, Flow] => {
      const name = `p-${++names}`
      return [a.tenant('acme').flow(name), b.tenant('acme').flow(name)]
    }
    const publish = async (flow: Flow, count: number, from = 1) => {
      return flow.publishMany(upTo(from + count - 1, from).map((n) => ({ type: 'tick', payload: n })))
    }
    /** A processor, what it has handled, and its end. */
    const start = (
      flow: Flow,
      group: string,
      handle?: (event: FlowEvent, attempt: number) => unknown,
      options = {},
    ) => {
      const stopping = new AbortController()
      const seen: unknown[] = []
      const ended = flow.process(
        group,
        async (event, { attempt }) => {
          await handle?.(event, attempt)
          seen.push(event.payload)
        },
        { from: 'beginning', retryMs: 1, leaseMs: 600, signal: stopping.signal, ...options },
      )
      const stop = async () => {
        stopping.abort()
        await ended
      }
      return { seen, stop, ended }
    }

    it('hand each event to one of them, in order, and go on where the last one was', async () => {
      const [one, two] = flows()
      await publish(one, 20)
      const first = start(one, 'g')
      await eventually(() => first.seen.length === 20)
      await first.stop()
      await publish(one, 20, 21)
      const second = start(two, 'g')
      const idle = start(one, 'g')
      await eventually(() => second.seen.length + idle.seen.length === 20)
      await second.stop()
      await publish(one, 10, 41)
      await eventually(() => second.seen.length + idle.seen.length === 30)
      expect([...first.seen, ...second.seen, ...idle.seen].sort((x, y) => Number(x) - Number(y))).toEqual(
        upTo(50),
      )
      expect(first.seen).toEqual(upTo(20))
      await idle.stop()
    })

    it('try a failing event again, then give it to the dead ones and go on', async () => {
      const [one] = flows()
      const [, second] = await publish(one, 3)
      const attempts: number[] = []
      const worker = start(
        one,
        'g',
        (event, attempt) => {
          if (event.payload !== 2) return
          attempts.push(attempt)
          throw new Error('cannot do 2')
        },
        { maxAttempts: 3 },
      )
      await eventually(() => worker.seen.length === 2)
      expect(worker.seen).toEqual([1, 3])
      expect(attempts).toEqual([1, 2, 3])
      expect(await one.dead('g')).toMatchObject([
        {
          id: second?.id,
          timestamp: second?.timestamp,
          type: 'tick',
          source: 'system',
          payload: 2,
          attempts: 3,
          error: expect.stringContaining('cannot do 2'),
        },
      ])
      expect(await one.dead('other')).toEqual([])
      await worker.stop()
    })

    it('take over from one that is not heard of any more, and no sooner', async () => {
      const [one, two] = flows()
      await publish(one, 2)
      let release: () => void = () => undefined
      const signals: AbortSignal[] = []
      const stopping = new AbortController()
      const stuck = one.process(
        'g',
        (_, { signal }) => {
          signals.push(signal)
          return new Promise<void>((resolve) => (release = resolve))
        },
        { from: 'beginning', leaseMs: 400, signal: stopping.signal },
      )
      await eventually(() => signals.length === 1)
      const next = start(two, 'g', undefined, { leaseMs: 400 })
      // It is alive and renews its claim.
      await new Promise((resolve) => setTimeout(resolve, 900))
      expect(next.seen).toEqual([])
      await store.takeAway(one)
      await eventually(() => next.seen.length === 2)
      await eventually(() => signals[0]?.aborted)
      stopping.abort()
      release()
      await stuck
      await next.stop()
    })

    it('begin with what is new, unless told otherwise; groups do not know of each other', async () => {
      const [one] = flows()
      await publish(one, 3)
      const fresh = start(one, 'fresh', undefined, { from: 'now' })
      const all = start(one, 'all')
      await eventually(() => all.seen.length === 3)
      await publish(one, 2, 4)
      await eventually(() => fresh.seen.length === 2 && all.seen.length === 5)
      expect(fresh.seen).toEqual([4, 5])
      await Promise.all([fresh.stop(), all.stop()])
    })

    it('keep their work for one owner at a time, whose word alone counts', async () => {
      const { groups } = keepingOf(a)
      const ref = { tenant: 'acme', flow: `p-${++names}`, group: 'g' }
      const [one, two] = [randomUUID(), randomUUID()]
      const start = { term: 0, seq: 0 }
      expect(await groups.claim(ref, one, 60_000, start)).toEqual({ place: start, attempts: 0 })
      expect(await groups.claim(ref, two, 60_000, start)).toBeUndefined()
      expect(await groups.settle(ref, one, 60_000, { failed: { term: 1, seq: 4 } })).toBe(true)
      expect(await groups.settle(ref, two, 60_000, { done: { term: 1, seq: 9 } })).toBe(false)
      expect(await groups.renew(ref, two, 60_000)).toBe(false)
      await groups.release(ref, two)
      expect(await groups.claim(ref, two, 60_000, start)).toBeUndefined()
      // Its lease is over.
      expect(await groups.renew(ref, one, 1)).toBe(true)
      const claim = await eventually(() => groups.claim(ref, two, 60_000, start))
      expect(claim).toEqual({ place: { term: 1, seq: 4 }, attempts: 1 })
      expect(await groups.settle(ref, one, 60_000, { done: { term: 1, seq: 9 } })).toBe(false)
      expect(await groups.renew(ref, one, 60_000)).toBe(false)
      await groups.release(ref, two)
      expect(await groups.claim(ref, one, 60_000, start)).toEqual({ place: { term: 1, seq: 4 }, attempts: 1 })
    })

    it('refuse what they cannot keep', async () => {
      const [one] = flows()
      await expect(one.process('', () => undefined)).rejects.toMatchObject({ code: 'INVALID_NAME' })
      await expect(one.process('g', () => undefined, { maxAttempts: 0 })).rejects.toMatchObject({
        code: 'INVALID_ARGUMENT',
      })
      await expect(one.dead('g', { limit: 0 })).rejects.toMatchObject({ code: 'INVALID_ARGUMENT' })
    })
  })
}
