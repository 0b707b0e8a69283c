import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { BUCKETS, key } from '../../src/redis/keys.js'
import { freshDatabase } from '../support/database.js'
import { eventually } from '../support/eventually.js'
import type { FreshDatabase } from '../support/postgres.js'
import type { RedisServer, RedisSet } from '../support/redis.js'
import { REDIS_KINDS } from '../support/redis-kinds.js'
import { type Instance, reigns, startInstance } from './fleet.js'

const { sentinel, cluster } = REDIS_KINDS

describe.each(Object.entries({ sentinel, cluster }))('the term over %s', (kind, start) => {
  let set: RedisSet
  let database: FreshDatabase
  let fleet: Instance[]
  beforeAll(async () => {
    set = await start()
  })
  afterAll(() => set.remove())
  beforeEach(async () => {
    database = await freshDatabase()
    fleet = []
    for (const name of ['a', 'b', 'c']) fleet.push(await startInstance(name, database.url, set.url))
  })
  afterEach(async () => {
    await Promise.all(fleet.map((instance) => instance.close()))
    await database.drop()
  })
  const markers = (redis: Instance['redis']) =>
    Promise.all(BUCKETS.map((bucket) => redis.client.call('GET', key('term:marker', { bucket }))))
  const masters = async () => {
    const roles = await Promise.all(set.servers.map((server) => server.ask('INFO', 'replication')))
    return set.servers.filter((_, i) => String(roles[i]).includes('role:master'))
  }

  it('has a marker in every bucket, and opens one new term when a single server was emptied', async () => {
    const [one] = fleet as [Instance]
    const number = await reigns(fleet, 'redis')
    for (const marker of await markers(one.redis)) expect(marker).toMatch(new RegExp(`^${number}:open:`))
    const emptied = (await masters()).at(-1) as RedisServer
    await emptied.ask('FLUSHALL')
    expect(await reigns(fleet, 'redis', number)).toBe(number + 1)
    await eventually(async () => {
      const now = await markers(one.redis)
      return now.every((marker) => String(marker).startsWith(`${number + 1}:open:`))
    })
  })

  it('goes away when a single server hangs, and comes back', async () => {
    const number = await reigns(fleet, 'redis')
    const frozen = (await masters()).at(-1) as RedisServer
    frozen.freeze()
    const away = await reigns(fleet, 'postgres', number)
    if (kind === 'cluster') frozen.thaw()
    // The sentinels appoint the replica meanwhile; a Cluster without one waits for its server.
    await reigns(fleet, 'redis', away)
    frozen.thaw()
  })
})
