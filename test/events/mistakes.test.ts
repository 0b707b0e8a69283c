import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { key } from '../../src/redis/keys.js'
import type { RedisMarkers } from '../../src/term/redis.js'
import { freshDatabase } from '../support/database.js'
import { eventually } from '../support/eventually.js'
import type { FreshDatabase } from '../support/postgres.js'
import { type RedisServer, startRedis } from '../support/redis.js'
import { reigns } from '../term/fleet.js'
import { type Half, openHalf } from './pair.js'

const FLOW_KEYS = ['flow:log', 'flow:events', 'flow:keys'] as const
const ofAcme = (name: (typeof FLOW_KEYS)[number], flow: string) => key(name, { tenant: 'acme', flow })

describe('a mistake of ours, which another store would not mend', () => {
  let server: RedisServer
  let database: FreshDatabase
  let halves: Half[]
  let number: number
  const fleet = () => halves.map(({ instance }) => instance)
  beforeAll(async () => {
    server = await startRedis()
    await server.ask('ACL', 'SETUSER', 'spillway', 'on', '>secret', '~*', '&*', '+@all')
  })
  afterAll(() => server.remove())
  beforeEach(async () => {
    await server.ask('FLUSHALL')
    database = await freshDatabase()
    const redis = server.url.replace('redis://', 'redis://spillway:secret@')
    const urls = { postgres: database.url, redis }
    halves = [await openHalf('one', urls), await openHalf('two', urls)]
    number = await reigns(fleet(), 'redis')
  })
  afterEach(async () => {
    await Promise.all(halves.map((half) => half.close()))
    await database.drop()
  })

  /** Everybody has looked at Redis again and again since, and nothing has turned. */
  const staysSo = async () => {
    const looks = fleet().map(({ redis }) => looksOf(redis))
    await Promise.all(looks.map((look) => look.more(5)))
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
      const publish = (flow: string, n: number) =>
        one.flow(flow, 'fast').publish('tick', { n }, flow === 'spoilt' ? { key: `k${n}` } : {})
      const results = await Promise.allSettled([
        ...[2, 3].map((n) => publish('sound', n)),
        ...[2, 3].map((n) => publish('spoilt', n)),
      ])
      expect(results.map(({ status }) => status)).toEqual(['fulfilled', 'fulfilled', 'rejected', 'rejected'])
      for (const result of results.slice(2))
        expect(result).toMatchObject({
          reason: { code: 'INTERNAL', message: expect.stringContaining('WRONGTYPE') },
        })
      expect((await one.flow('sound').history()).map(({ payload }) => payload)).toEqual(
        [1, 2, 3].map((n) => ({ n })),
      )
      await staysSo()
      await server.ask('DEL', foreign)
      await server.ask('RENAME', 'kept:{acme:spoilt}', foreign).catch(() => '')
      const { id } = await publish('spoilt', 4)
      expect(id).toBe(`${number}-2`)
      expect((await one.flow('spoilt').history()).map(({ payload }) => payload)).toEqual([{ n: 1 }, { n: 4 }])
    },
  )
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
