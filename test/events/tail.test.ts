import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import type { StoredEvent } from '../../src/events/log.js'
import { HotTail } from '../../src/events/tail.js'
import type { RedisClient } from '../../src/redis/client.js'
import { key } from '../../src/redis/keys.js'
import type { FlowRef } from '../../src/tenant.js'
import { openClient } from '../redis/open.js'
import { eventually } from '../support/eventually.js'
import { type RedisServer, startRedis } from '../support/redis.js'
import { someFlow } from './drafts.js'

const HOUR = 3_600_000

describe('the hot tail of a durable flow', () => {
  let server: RedisServer
  let redis: RedisClient
  let tail: HotTail
  const heard: string[] = []
  beforeAll(async () => {
    server = await startRedis()
    redis = openClient(server.url)
    await redis.ready(5000)
    tail = new HotTail(redis)
  })
  afterAll(async () => {
    redis.close()
    await server.remove()
  })

  const events = (from: number, to: number, at = Date.now()): StoredEvent[] =>
    Array.from({ length: to - from + 1 }, (_, i) => {
      return { term: 1, seq: from + i, type: 'tick', source: 'test', payload: `${from + i}`, at }
    })
  const scripts = async () =>
    Number(/cmdstat_evalsha:calls=(\d+)/.exec(String(await server.ask('INFO', 'commandstats')))?.[1] ?? 0)
  /** Adds, and waits until Redis has done it. */
  const add = async (ref: FlowRef, some: StoredEvent[]) => {
    const before = await scripts()
    tail.add(ref, some)
    await eventually(async () => (await scripts()) > before)
  }
  const seqsAfter = async (ref: FlowRef, seq: number) =>
    (await tail.after(ref, { term: 1, seq }, 100))?.map((event) => event.seq)
  const keysOf = (ref: FlowRef) =>
    server.ask('EXISTS', key('flow:events', ref), key('flow:log', ref)) as Promise<number>
  const listen = async (ref: FlowRef) => {
    const subscriber = redis.subscriber({
      heard: (_, message) => heard.push(message),
      hearing: () => undefined,
    })
    await eventually(() => subscriber.hearing)
    await subscriber.subscribe(key('flow:updates', ref))
    return subscriber
  }

  it('keeps nothing of a flow that nobody hears', async () => {
    const ref = someFlow()
    await add(ref, events(1, 1))
    await add(ref, events(2, 3))
    expect(await keysOf(ref)).toBe(0)
    expect(await seqsAfter(ref, 1)).toBeUndefined()
  })

  it('begins with what somebody hears, and goes on when nobody does', async () => {
    const ref = someFlow()
    await add(ref, events(1, 4))
    const subscriber = await listen(ref)
    await add(ref, events(5, 6))
    await eventually(() => heard.some((message) => message.startsWith('1 5 ')))
    subscriber.close()
    await eventually(async () => {
      const [, listeners] = (await server.ask('PUBSUB', 'NUMSUB', key('flow:updates', ref))) as [
        string,
        number,
      ]
      return Number(listeners) === 0
    })
    await add(ref, events(7, 9))
    expect(await seqsAfter(ref, 5)).toEqual([6, 7, 8, 9])
    expect(await seqsAfter(ref, 2)).toBeUndefined()
  })

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
    const left = async (name: 'flow:events' | 'flow:log') => Number(await server.ask('PTTL', key(name, ref)))
    expect(await left('flow:events')).toBeGreaterThan(HOUR / 2)
    for (const name of ['flow:events', 'flow:log'] as const)
      await server.ask('PEXPIRE', key(name, ref), '60000')
    await add(ref, events(7, 7, now))
    expect(await left('flow:events')).toBeLessThanOrEqual(60_000)
    await add(ref, events(8, 8, now + HOUR / 8))
    expect(await left('flow:events')).toBeGreaterThan(HOUR / 2)
    expect(await left('flow:log')).toBeGreaterThan(HOUR / 2)
    subscriber.close()
  })
})
