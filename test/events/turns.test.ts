import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { freshDatabase } from '../support/database.js'
import type { FreshDatabase } from '../support/postgres.js'
import type { RedisSet } from '../support/redis.js'
import { REDIS_KINDS } from '../support/redis-kinds.js'
import { reigns } from '../term/fleet.js'
import { type Half, openHalf } from './pair.js'
import { Traffic } from './traffic.js'
import { Turner } from './turner.js'

describe.each(Object.entries(REDIS_KINDS))('events over %s', (_, start) => {
  let redis: RedisSet
  let database: FreshDatabase
  let halves: Half[]
  beforeEach(async () => {
    redis = await start()
    database = await freshDatabase()
    const urls = { postgres: database.url, redis: redis.url }
    halves = [await openHalf('one', urls), await openHalf('two', urls)]
  })
  afterEach(async () => {
    await Promise.all(halves.map((half) => half.close()))
    await database.drop()
    await redis.remove()
  })

  it('reach readers on every instance each once and in order, while an operator turns; no publish fails', async () => {
    const fleet = halves.map(({ instance }) => instance)
    await reigns(fleet, 'redis')
    const traffic = new Traffic({ durable: 'durable', fast: 'fast' }, { writers: halves, readers: halves })
    await traffic.more(50)
    const turner = await Turner.start(fleet)
    for (let turn = 0; turn < 4; turn++) {
      await turner.next()
      await traffic.more(10)
    }
    await turner.stop()
    expect(await traffic.account()).toEqual([])
    expect(traffic.refusals).toEqual([])
    expect(traffic.gaps('durable')).toEqual([])
    expect(new Set(traffic.gaps('fast').map(({ reason }) => reason))).toEqual(new Set(['turn']))
  })
})
