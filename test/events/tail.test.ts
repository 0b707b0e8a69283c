import fc from 'fast-check'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import type { StoredEvent } from '../../src/events/log.js'
import { HotTail } from '../../src/events/tail.js'
import type { RedisClient } from '../../src/redis/client.js'
import { key } from '../../src/redis/keys.js'
import type { FlowRef } from '../../src/tenant.js'
import { openClient } from '../redis/open.js'
import { eventually } from '../support/eventually.js'
import type { RedisSet } from '../support/redis.js'
import { REDIS_KINDS } from '../support/redis-kinds.js'
import { someFlow } from './drafts.js'

const HOUR = 3_600_000

describe.each(Object.entries(REDIS_KINDS))('the hot tail of a durable flow over %s', (kind, start) => {
  let set: RedisSet
  let redis: RedisClient
  let tail: HotTail
  const heard: string[] = []
  beforeAll(async () => {
    set = await start()
    redis = openClient(set.url)
    await redis.ready(10_000)
    tail = new HotTail(redis)
    // From here on the script is there, and one call is one addition.
    const ref = someFlow()
    const subscriber = await listen(ref)
    tail.add(ref, events(1, 1))
    await eventually(async () => (await keysOf(ref)) === 2)
    subscriber.close()
  })
  afterAll(async () => {
    redis.close()
    await set.remove()
  })

  const events = (from: number, to: number, at = Date.now()): StoredEvent[] =>
    Array.from({ length: to - from + 1 }, (_, i) => {
      return { term: 1, seq: from + i, type: 'tick', source: 'test', payload: `${from + i}`, at }
    })
  const calls = async (command: string) => {
    const stats = await redis.onEachMaster((master) => master.call('INFO', 'commandstats'))
    const counts = stats.map((text) => new RegExp(`cmdstat_${command}:calls=(\\d+)`).exec(String(text))?.[1])
    return counts.reduce((sum, count) => sum + Number(count ?? 0), 0)
  }
  /** Adds, and waits until Redis has done what that takes. */
  const add = async (ref: FlowRef, some: StoredEvent[], takes: 'script' | 'question' = 'script') => {
    const command = takes === 'script' ? 'evalsha' : 'pubsub\\|numsub'
    const before = await calls(command)
    tail.add(ref, some)
    await eventually(async () => (await calls(command)) > before)
  }
  const seqsAfter = async (ref: FlowRef, seq: number) =>
    (await tail.after(ref, { term: 1, seq }, 100))?.map((event) => event.seq)
  const keysOf = (ref: FlowRef) =>
    redis.call('EXISTS', key('flow:events', ref), key('flow:log', ref)) as Promise<number>
  const listen = async (ref: FlowRef) => {
    const subscriber = redis.subscriber({
      heard: (_, message) => heard.push(message),
      hearing: () => undefined,
    })
    await eventually(() => subscriber.hearing)
    await subscriber.subscribe(key('flow:updates', ref))
    return subscriber
  }

  it('never holds an event under another number, where another instance had its commit between two of ours', async () => {
    const ref = someFlow()
    const subscriber = await listen(ref)
    tail.add(ref, events(1, 1))
    // These wait for the first together; 3 is somebody else's.
    tail.add(ref, events(2, 2))
    tail.add(ref, events(4, 4))
    tail.add(ref, events(5, 5))
    const held = await eventually(async () => tail.after(ref, { term: 1, seq: 4 }, 10))
    expect(held?.map(({ seq, payload }) => [seq, payload])).toEqual([[5, '5']])
    expect(await tail.after(ref, { term: 1, seq: 2 }, 10)).toBeUndefined()
    subscriber.close()
  })

  it('is dropped rather than kept with a hole, and renews its time', async () => {
    const ref = someFlow()
    const subscriber = await listen(ref)
    const now = Date.now()
    await add(ref, events(1, 2, now))
    await add(ref, events(5, 6, now))
    expect(await seqsAfter(ref, 1)).toBeUndefined()
    expect(await seqsAfter(ref, 4)).toEqual([5, 6])
    const left = async (name: 'flow:events' | 'flow:log') => Number(await redis.call('PTTL', key(name, ref)))
    expect(await left('flow:events')).toBeGreaterThan(HOUR / 2)
    for (const name of ['flow:events', 'flow:log'] as const)
      await redis.call('PEXPIRE', key(name, ref), '60000')
    await add(ref, events(7, 7, now))
    expect(await left('flow:events')).toBeLessThanOrEqual(60_000)
    await add(ref, events(8, 8, now + HOUR / 8))
    expect(await left('flow:events')).toBeGreaterThan(HOUR / 2)
    expect(await left('flow:log')).toBeGreaterThan(HOUR / 2)
    subscriber.close()
  })

  it('has of any stretch its beginning without a hole, or says that it has not', async () => {
    const ref = someFlow()
    const subscriber = await listen(ref)
    await add(ref, events(6, 100))
    const bound = fc.integer({ min: 0, max: 110 })
    await fc.assert(
      fc.asyncProperty(
        fc.constantFrom(1, 2),
        bound,
        fc.oneof(bound, fc.constant(Number.MAX_SAFE_INTEGER)),
        fc.constantFrom('asc' as const, 'desc' as const),
        fc.integer({ min: 1, max: 120 }),
        async (term, after, before, order, limit) => {
          const found = await tail.stretch(ref, { after, before, order, limit }, term)
          const first = order === 'asc' ? after + 1 : before - 1
          const within = events(6, 100)
            .map(({ seq }) => seq)
            .filter((seq) => seq > after && seq < before)
          const whole = order === 'asc' ? within : within.reverse()
          const known = (term === 1 || after === 0) && whole[0] === first
          expect(found?.map(({ seq }) => seq)).toEqual(known ? whole.slice(0, limit) : undefined)
        },
      ),
      { numRuns: 200 },
    )
    subscriber.close()
  })

  if (kind === 'cluster') {
    it('keeps what nobody hears too: who listens is known to each server alone', async () => {
      const ref = someFlow()
      await add(ref, events(1, 3))
      expect(await seqsAfter(ref, 1)).toEqual([2, 3])
    })
  } else {
    it('costs a flow that nobody hears one question for all that come together', async () => {
      const [one, other, heardOf] = [someFlow(), someFlow(), someFlow()]
      const subscriber = await listen(heardOf)
      const [scripts, questions] = [await calls('evalsha'), await calls('pubsub\\|numsub')]
      tail.add(one, events(1, 2))
      tail.add(other, events(1, 1))
      tail.add(heardOf, events(1, 3))
      await eventually(async () => (await keysOf(heardOf)) === 2)
      expect(await calls('pubsub\\|numsub')).toBe(questions + 1)
      expect(await calls('evalsha')).toBe(scripts + 1)
      expect(await keysOf(one)).toBe(0)
      expect(await seqsAfter(one, 1)).toBeUndefined()
      expect(await seqsAfter(heardOf, 1)).toEqual([2, 3])
      subscriber.close()
    })

    it('begins anew with what is heard again', async () => {
      const ref = someFlow()
      await add(ref, events(1, 4), 'question')
      const first = await listen(ref)
      await add(ref, events(5, 6))
      await eventually(() => heard.some((message) => message.startsWith('1 5 ')))
      expect(await seqsAfter(ref, 5)).toEqual([6])
      first.close()
      await eventually(async () => {
        const reply = await redis.call('PUBSUB', 'NUMSUB', key('flow:updates', ref))
        return Array.isArray(reply) && Number(reply[1]) === 0
      })
      await add(ref, events(7, 8), 'question')
      const second = await listen(ref)
      await add(ref, events(9, 10))
      expect(await seqsAfter(ref, 5)).toBeUndefined()
      expect(await seqsAfter(ref, 8)).toEqual([9, 10])
      second.close()
    })
  }
})
