import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { key } from '../../src/redis/keys.js'
import type { RedisMarkers } from '../../src/term/redis.js'
import { freshDatabase } from '../support/database.js'
import { eventually } from '../support/eventually.js'
import type { FreshDatabase } from '../support/postgres.js'
import { type RedisServer, startRedis } from '../support/redis.js'
import { reigns } from '../term/fleet.js'
import { type Half, openHalf } from './pair.js'
import { reading, seqs, upTo } from './readers.js'

const EVERYTHING = ['on', '>secret', '~*', '&*', '+@all']
const FLOW_KEYS = ['flow:log', 'flow:events', 'flow:keys'] as const
const WRONGTYPE = expect.stringContaining('WRONGTYPE')
const ofAcme = (name: (typeof FLOW_KEYS)[number], flow: string) => key(name, { tenant: 'acme', flow })

describe('a mistake of ours, which another store would not mend', () => {
  let server: RedisServer
  let database: FreshDatabase
  let halves: Half[]
  let number: number
  const fleet = () => halves.map(({ instance }) => instance)
  beforeAll(async () => {
    server = await startRedis()
    await server.ask('ACL', 'SETUSER', 'spillway', ...EVERYTHING)
  })
  afterAll(() => server.remove())
  const restart = async (options: { readonly probeMs?: number } = {}) => {
    await Promise.all(halves.map((half) => half.close()))
    const redis = server.url.replace('redis://', 'redis://spillway:secret@')
    const urls = { postgres: database.url, redis }
    halves = [await openHalf('one', urls, options), await openHalf('two', urls, options)]
    number = await reigns(fleet(), 'redis')
  }
  beforeEach(async () => {
    halves = []
    await server.ask('FLUSHALL')
    database = await freshDatabase()
    await restart()
  })
  afterEach(async () => {
    await Promise.all(halves.map((half) => half.close()))
    await database.drop()
  })

  /** Everybody has looked at Redis again and again since, and nothing has turned. */
  const staysSo = async () => {
    const looks = fleet().map(({ redis }) => looksOf(redis))
    await Promise.all(looks.map((look) => look.more(3)))
    expect(fleet().map(({ controller }) => controller.status.row?.number)).toEqual([number, number])
    expect(fleet().map(({ controller }) => controller.status.view)).not.toContain('down')
  }

  it.each(FLOW_KEYS)(
    'a foreign key under %s is refused to its flow alone, and nothing of it is stored',
    async (name) => {
      const [one] = halves as [Half]
      for (const flow of ['sound', 'spoilt']) await one.flow(flow, 'fast').publish('tick', { n: 1 })
      const foreign = ofAcme(name, 'spoilt')
      await server.ask('RENAME', foreign, 'kept:{acme:spoilt}').catch(() => '')
      await server.ask(name === 'flow:events' ? 'LPUSH' : 'SET', foreign, 'foreign')
      // What has no key of its own would be there twice if it were sent again, apart from what was refused.
      const [two, three, refused] = await Promise.allSettled([
        one.flow('sound', 'fast').publish('tick', { n: 2 }),
        one.flow('sound', 'fast').publish('tick', { n: 3 }),
        one.flow('spoilt', 'fast').publishMany([{ type: 'tick' }, { type: 'tick', key: 'k' }]),
      ])
      expect([two.status, three.status]).toEqual(['fulfilled', 'fulfilled'])
      expect(refused).toMatchObject({ reason: { code: 'INTERNAL', message: WRONGTYPE } })
      expect((await one.flow('sound').history()).map(({ payload }) => payload)).toEqual(
        [1, 2, 3].map((n) => ({ n })),
      )
      await staysSo()
      await server.ask('DEL', foreign)
      await server.ask('RENAME', 'kept:{acme:spoilt}', foreign).catch(() => '')
      const { id } = await one.flow('spoilt', 'fast').publish('tick', { n: 4 })
      expect(id).toBe(`${number}-2`)
      expect((await one.flow('spoilt').history()).map(({ payload }) => payload)).toEqual([{ n: 1 }, { n: 4 }])
    },
  )

  it('a foreign key in the place of a hot tail costs the readers of its flow no event', async () => {
    const [one, two] = halves as [Half, Half]
    for (const name of ['flow:log', 'flow:events'] as const) {
      await one.flow(name).publish('tick', { n: 1 })
      const early = reading((signal) => two.flow(name).subscribe({ after: '0', signal }))
      await early.until(1)
      await server.ask('DEL', ofAcme(name, name))
      await server.ask('LPUSH', ofAcme(name, name), 'foreign')
      for (let n = 2; n <= 5; n++) await one.flow(name).publish('tick', { n })
      await early.until(5)
      // On an instance that has none of them in memory.
      const back = reading((signal) => one.flow(name).subscribe({ after: '1-2', signal }))
      await back.until(3)
      expect([seqs(early.events), seqs(back.events)]).toEqual([upTo(5), upTo(5, 3)])
      await Promise.all([early.stop(), back.stop()])
    }
    await staysSo()
  })

  it('a foreign key in the place of a marker', async () => {
    const marker = key('term:marker', { bucket: 'b07' })
    await server.ask('DEL', marker)
    await server.ask('LPUSH', marker, 'foreign')
    await staysSo()
  })

  it('a user without a right that is needed', async () => {
    const [one] = halves as [Half]
    const publish = (flow: string) => one.flow(flow).publish('tick')
    await one.flow('fast', 'fast').publish('tick')
    for (const [lost, needed] of [
      ['-evalsha -eval', true],
      ['-xadd', true],
      ['-set', false],
      ['-get', true],
      ['resetchannels', true],
      ['resetkeys', true],
    ] as const) {
      await server.ask('ACL', 'SETUSER', 'spillway', ...lost.split(' '))
      const [fast, durable] = await Promise.allSettled([publish('fast'), publish('durable')])
      expect([fast.status, durable.status], lost).toEqual([needed ? 'rejected' : 'fulfilled', 'fulfilled'])
      if (needed) expect(fast, lost).toMatchObject({ reason: { code: 'INTERNAL', temporary: false } })
      await staysSo()
      await server.ask('ACL', 'SETUSER', 'spillway', ...EVERYTHING)
      await publish('fast')
    }
  })

  it('a user that connects anew, and may not even ask who the server is', async () => {
    // As often as in production: who looks more often than it connects takes the pause between for an outage.
    await restart({ probeMs: 500 })
    const [one] = halves as [Half]
    await one.flow('fast', 'fast').publish('tick')
    await server.ask('ACL', 'SETUSER', 'spillway', '-info')
    await server.ask('CLIENT', 'KILL', 'USER', 'spillway')
    await staysSo()
    await expect(one.flow('fast').publish('tick')).rejects.toMatchObject({
      code: 'INTERNAL',
      message: expect.stringContaining('the right to INFO'),
    })
    await server.ask('ACL', 'SETUSER', 'spillway', ...EVERYTHING)
    await Promise.all(fleet().map(({ redis }) => redis.client.ready(5000)))
    await one.flow('fast').publish('tick')
    expect(await reigns(fleet(), 'redis')).toBe(number)
  })
})

/** Counts the looks that an instance takes at Redis. */
function looksOf(redis: RedisMarkers) {
  let taken = 0
  const look = redis.look.bind(redis)
  redis.look = async () => {
    try {
      return await look()
    } finally {
      taken += 1
    }
  }
  return {
    more: async (count: number) => {
      await eventually(() => taken >= count, { what: `${count} looks` })
      redis.look = look
    },
  }
}
