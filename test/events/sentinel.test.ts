import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { LEAP } from '../../src/events/kinds.js'
import { freshDatabase } from '../support/database.js'
import { eventually } from '../support/eventually.js'
import type { FreshDatabase } from '../support/postgres.js'
import type { RedisServer } from '../support/redis.js'
import { type SentinelSet, startRedisSentinel } from '../support/redis-sentinel.js'
import { reigns } from '../term/fleet.js'
import { type Half, openHalf } from './pair.js'
import { gapOf, reading, seqs, upTo } from './readers.js'
import { Traffic } from './traffic.js'

describe('events over Sentinels', () => {
  let redis: SentinelSet
  let database: FreshDatabase
  let halves: Half[]
  const fleet = () => halves.map(({ instance }) => instance)
  beforeEach(async () => {
    redis = await startRedisSentinel()
    database = await freshDatabase()
    const urls = { postgres: database.url, redis: redis.url }
    halves = [await openHalf('one', urls), await openHalf('two', urls)]
  })
  afterEach(async () => {
    await Promise.all(halves.map((half) => half.close()))
    await database.drop()
    await redis.remove()
  })

  it('go on in a new term when another master is appointed while they are published', async () => {
    const number = await reigns(fleet(), 'redis')
    const before = await redis.master()
    const traffic = new Traffic({ durable: 'durable', fast: 'fast' }, { writers: halves, readers: halves })
    await traffic.more(20)
    await redis.failover()
    await reigns(fleet(), 'redis', number)
    await traffic.more(20)
    expect(await redis.master()).not.toBe(before)
    expect(await traffic.account()).toEqual([])
    expect(traffic.refusals.filter(({ flow }) => flow === 'durable')).toEqual([])
    expect(traffic.gaps('durable')).toEqual([])
    expect(new Set(traffic.gaps('fast').map(({ reason }) => reason))).toEqual(new Set(['turn']))
  })

  it('tell every reader of a fast flow what a promoted replica did not have, and give none of its numbers again', async () => {
    const [one, two] = halves as [Half, Half]
    const number = await reigns(fleet(), 'redis')
    const master = await redis.master()
    const replica = redis.servers.find((server) => server !== master) as RedisServer
    const flow = one.flow('fast', 'fast')
    const early = reading((signal) => two.flow('fast').subscribe({ after: '0', signal }))
    for (let n = 1; n <= 5; n++) await flow.publish('tick', { n })
    // An answer from the replica's own mouth: it has these five.
    await eventually(async () => Number(await master.ask('WAIT', '1', '100')) === 1)
    await replica.ask('CONFIG', 'SET', 'masterauth', 'wrong')
    await master.ask('CLIENT', 'KILL', 'TYPE', 'replica')
    await eventually(async () =>
      /master_link_status:down/.test(String(await replica.ask('INFO', 'replication'))),
    )
    for (let n = 6; n <= 9; n++) await flow.publish('tick', { n })
    const kept = await early.until(9)
    expect(kept.map(({ id }) => id)).toEqual(upTo(9).map((n) => `${number}-${n}`))
    await master.kill()
    await reigns(fleet(), 'redis', number)
    expect(await redis.master()).toBe(replica)
    const next = await one.flow('fast').publish('tick', { n: 10 })
    const [seq] = seqs([next]) as [number]
    expect(seq).toBeGreaterThan(LEAP)

    // Who has them keeps them, and is told that others have not.
    await early.until(11)
    expect(gapOf(early.events[9])).toMatchObject({ from: expect.stringMatching(/-10$/), reason: 'turn' })
    expect(early.events[10]?.id).toBe(next.id)
    // Who comes now is told what is no more.
    const late = reading((signal) => one.flow('fast').subscribe({ after: '0', signal }))
    await late.until(7)
    expect(late.events.slice(0, 5).map(({ id }) => id)).toEqual(upTo(5).map((n) => `${number}-${n}`))
    expect(gapOf(late.events[5])).toMatchObject({ from: expect.stringMatching(/-6$/), reason: 'turn' })
    expect(gapOf(late.events[5]).to).toMatch(new RegExp(`-${seq - 1}$`))
    // Who comes back with the id of a lost event goes on behind it.
    const back = reading((signal) => two.flow('fast').subscribe({ after: `${number}-8`, signal }))
    await back.until(2)
    expect(gapOf(back.events[0])).toMatchObject({ from: expect.stringMatching(/-9$/), reason: 'turn' })
    expect(back.events[1]?.id).toBe(next.id)
    await Promise.all([early, late, back].map((one) => one.stop()))
  })
})
