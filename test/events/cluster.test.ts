import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { key } from '../../src/redis/keys.js'
import { freshDatabase } from '../support/database.js'
import type { FreshDatabase } from '../support/postgres.js'
import type { RedisServer } from '../support/redis.js'
import { type ClusterSet, startRedisCluster } from '../support/redis-cluster.js'
import { reigns } from '../term/fleet.js'
import { type Half, openHalf } from './pair.js'
import { Traffic } from './traffic.js'

const channelOf = (flow: string) => key('flow:updates', { tenant: 'acme', flow })

describe('events over a Cluster', () => {
  let cluster: ClusterSet
  let database: FreshDatabase
  let halves: Half[]
  const fleet = () => halves.map(({ instance }) => instance)
  /** A name whose slot that server owns. */
  const nameOn = async (server: RedisServer, about: string) => {
    for (let i = 0; ; i++) {
      const name = `${about}-${i}`
      if ((await cluster.ownerOf(channelOf(name))) === server) return name
    }
  }
  const flowsOn = async (server: RedisServer) => {
    const [durable, fast] = [await nameOn(server, 'durable'), await nameOn(server, 'fast')]
    const flows = { [durable]: 'durable', [fast]: 'fast' } as const
    return { durable, fast, traffic: new Traffic(flows, { writers: halves, readers: halves }) }
  }
  beforeAll(async () => {
    cluster = await startRedisCluster({ replicas: 1, config: { 'cluster-node-timeout': '1000' } })
  })
  afterAll(() => cluster.remove())
  beforeEach(async () => {
    for (const server of cluster.servers)
      if (/role:master/.test(String(await server.ask('INFO', 'replication')))) await server.ask('FLUSHALL')
    database = await freshDatabase()
    const urls = { postgres: database.url, redis: cluster.url }
    halves = [await openHalf('one', urls), await openHalf('two', urls)]
  })
  afterEach(async () => {
    await Promise.all(halves.map((half) => half.close()))
    await database.drop()
  })

  it('stay whole while the slots of their flows move to other masters and back', async () => {
    const number = await reigns(fleet(), 'redis')
    const [from, to] = cluster.servers as [RedisServer, RedisServer]
    const { traffic, ...flows } = await flowsOn(from)
    await traffic.more(30)
    for (const flow of Object.values(flows)) {
      await cluster.move(channelOf(flow), to)
      await traffic.more(20)
      await cluster.move(channelOf(flow), from)
      await traffic.more(20)
    }
    expect(await traffic.account()).toEqual([])
    expect(traffic.refusals).toEqual([])
    expect([...traffic.gaps(flows.durable), ...traffic.gaps(flows.fast)]).toEqual([])
    // Somebody was sent elsewhere, and that is no reason to turn.
    for (const server of [from, to])
      expect(String(await server.ask('INFO', 'errorstats'))).toContain('errorstat_MOVED')
    expect(await reigns(fleet(), 'redis')).toBe(number)
  })

  it('go over to PostgreSQL when slots are served by nobody, and come back with the master that had them, empty', async () => {
    const number = await reigns(fleet(), 'redis')
    const [, victim] = cluster.servers as [RedisServer, RedisServer]
    const { traffic, durable, fast } = await flowsOn(victim)
    await traffic.more(20)
    await victim.kill()
    const away = await reigns(fleet(), 'postgres', number)
    await traffic.more(20)
    await victim.start('empty')
    await reigns(fleet(), 'redis', away)
    await traffic.more(20)
    expect(await traffic.account()).toEqual([])
    expect(traffic.refusals.filter(({ flow }) => flow === durable)).toEqual([])
    expect(traffic.gaps(durable)).toEqual([])
    expect(new Set(traffic.gaps(fast).map(({ reason }) => reason))).toEqual(new Set(['turn']))
  })

  // The masters elect the replica among them, on a busy machine not at once.
  it('go on in a new term when a master dies and its replica is promoted', { timeout: 180_000 }, async () => {
    const number = await reigns(fleet(), 'redis')
    const [victim] = cluster.servers as [RedisServer]
    const { traffic, durable, fast } = await flowsOn(victim)
    await traffic.more(20)
    await victim.kill()
    try {
      await reigns(fleet(), 'redis', number, 40_000)
      await traffic.more(20)
      expect(await cluster.ownerOf(channelOf(fast))).toBe(cluster.servers[3])
      expect(await traffic.account()).toEqual([])
      expect(traffic.refusals.filter(({ flow }) => flow === durable)).toEqual([])
      expect(traffic.gaps(durable)).toEqual([])
      expect(new Set(traffic.gaps(fast).map(({ reason }) => reason))).toEqual(new Set(['turn']))
    } finally {
      await victim.start('same')
    }
  })
})
