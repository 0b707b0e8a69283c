import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import type { RedisClient } from '../../src/redis/client.js'
import { key } from '../../src/redis/keys.js'
import { RedisStates } from '../../src/state/redis.js'
import { openClient } from '../redis/open.js'
import { eventually } from '../support/eventually.js'
import { type RedisServer, startRedis } from '../support/redis.js'

/** As docs/guarantees.md says. */
const LISTED = 10_000
const LONG_MS = 3_600_000

describe('lists of flows where Redis is the only store', () => {
  let server: RedisServer
  let redis: RedisClient
  beforeAll(async () => {
    server = await startRedis()
    redis = openClient(server.url, {}, { commandTimeoutMs: 5000 })
    await redis.ready(5000)
  })
  afterAll(async () => {
    redis?.close()
    await server?.remove()
  })
  beforeEach(() => redis.call('flushall'))

  const tenant = 'acme'
  const recent = key('recent:flows', { tenant })
  const engaged = key('engagement', { tenant, engagement: 'e' })
  /** Full, as of a moment ago, with flows of which nothing else is left. */
  const fill = async (...lists: string[]) => {
    const now = Date.now() * 1000
    const entries = Array.from({ length: LISTED }, (_, i) => [now - LISTED + i, `old-${i}`]).flat()
    for (const list of lists) await redis.call('zadd', list, ...entries)
  }

  it('keep the flows that were active last, of a tenant and of an engagement', async () => {
    const states = new RedisStates(redis, LONG_MS)
    await fill(recent, engaged)
    await states.set({ tenant, flow: 'a' }, { engagement: 'e' })
    await states.active([{ tenant, flow: 'b', at: Date.now() + 1000 }])
    expect([await redis.call('zcard', recent), await redis.call('zcard', engaged)]).toEqual([LISTED, LISTED])
    expect(await redis.call('zrange', recent, 0, 0)).toEqual(['old-2'])
    expect(await redis.call('zrange', engaged, 0, 0)).toEqual(['old-1'])
    // What is listed and not there any more is passed over.
    expect((await states.list(tenant, {})).map(({ flow }) => flow)).toEqual(['b', 'a'])
    expect((await states.list(tenant, { engagement: 'e' })).map(({ flow }) => flow)).toEqual(['a'])
  })

  it('take a thousand flows at once, as many as are noted together', async () => {
    const states = new RedisStates(redis, LONG_MS)
    await fill(recent)
    const at = Date.now() + 1000
    const flows = Array.from({ length: 1000 }, (_, i) => ({ tenant, flow: `new-${i}`, at: at + i }))
    await states.active(flows)
    expect(await redis.call('zcard', recent)).toBe(LISTED)
    expect((await states.list(tenant, { limit: 1000 })).map(({ flow }) => flow)).toEqual(
      flows.map(({ flow }) => flow).reverse(),
    )
  })

  it('forget a silent flow, also where others keep the list alive, and leave nothing', async () => {
    const lifeMs = 300
    const states = new RedisStates(redis, lifeMs)
    await states.set({ tenant, flow: 'silent' }, { engagement: 'e' })
    const listed: string[] = []
    await eventually(async () => {
      await states.set({ tenant, flow: 'loud' }, { engagement: 'e' })
      listed.push([await redis.call('zrange', engaged, 0, -1)].flat().sort().join())
      return listed.at(-1) === 'loud'
    })
    expect(listed).toContain('loud,silent')
    expect(await states.get({ tenant, flow: 'silent' })).toBeNull()
    await eventually(async () => (await redis.call('dbsize')) === 0)
    expect(await states.list(tenant, {})).toEqual([])
  })
})
