import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import type { StoredEvent } from '../../src/events/log.js'
import { HotTail } from '../../src/events/tail.js'
import type { RedisClient } from '../../src/redis/client.js'
import { openClient } from '../redis/open.js'
import { eventually } from '../support/eventually.js'
import { type RedisServer, startRedis } from '../support/redis.js'
import { someFlow } from './drafts.js'

describe('the hot tail', () => {
  let server: RedisServer
  let redis: RedisClient
  let tail: HotTail
  beforeAll(async () => {
    server = await startRedis()
    redis = openClient(server.url)
    await redis.ready(5000)
    tail = new HotTail(redis)
  })
  afterAll(async () => {
    redis?.close()
    await server?.remove()
  })

  const committed = (seq: number): StoredEvent => ({
    term: 1,
    seq,
    type: 'tick',
    source: 'test',
    payload: String(seq),
    at: 1,
  })

  it('never holds an event under another number, where another instance had its commit between two of ours', async () => {
    const ref = someFlow()
    tail.add(ref, [committed(1)])
    // These two wait for the first together; 3 is somebody else's.
    tail.add(ref, [committed(2)])
    tail.add(ref, [committed(4)])
    tail.add(ref, [committed(5)])
    const held = await eventually(async () => tail.after(ref, { term: 1, seq: 4 }, 10))
    expect(held?.map(({ seq, payload }) => [seq, payload])).toEqual([[5, '5']])
    expect(await tail.after(ref, { term: 1, seq: 2 }, 10)).toBeUndefined()
  })
})
