import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { Spillway } from '../src/index.js'
import { gapOf, reading, seqs, upTo } from './events/readers.js'
import { freshDatabase } from './support/database.js'
import { eventually } from './support/eventually.js'
import type { FreshDatabase } from './support/postgres.js'
import { type RedisServer, startRedis } from './support/redis.js'

describe('full mode: PostgreSQL with Redis beside it', () => {
  let database: FreshDatabase
  let server: RedisServer
  let a: Spillway
  let b: Spillway
  beforeAll(async () => {
    server = await startRedis()
  })
  afterAll(() => server.remove())
  beforeEach(async () => {
    await server.start('same')
    await server.ask('FLUSHALL')
    database = await freshDatabase()
    const open = () => Spillway.open({ postgres: database.url, redis: server.url, config: { poolSize: 4 } })
    a = await open()
    b = await open()
  })
  afterEach(async () => {
    await Promise.all([a.close(), b.close()])
    await database.drop()
  })

  const reigning = (store: string, beyond = 0) =>
    eventually(
      () => {
        const [x, y] = [a.term.reign, b.term.reign]
        return x?.store === store && y?.number === x.number && x.number > beyond && x.number
      },
      { what: `${store} reigns beyond ${beyond}`, withinMs: 30_000 },
    ) as Promise<number>

  it('keeps durable flows as they are, whatever Redis does', async () => {
    const flow = a.tenant('acme').flow('durable')
    const seen = reading((signal) => b.tenant('acme').flow('durable').subscribe({ after: '0', signal }))
    await reigning('redis')
    for (let n = 1; n <= 20; n++) await flow.publish('tick', { n })
    await seen.until(20)
    await server.kill()
    for (let n = 21; n <= 40; n++) await flow.publish('tick', { n })
    await seen.until(40)
    await server.start('empty')
    for (let n = 41; n <= 60; n++) await flow.publish('tick', { n })
    expect(seqs(await seen.until(60))).toEqual(upTo(60))
    expect(seqs(await b.tenant('acme').flow('durable').history({ last: 60 }))).toEqual(upTo(60))
    await seen.stop()
  })

  it('takes fast events on whichever store reigns, and brings them back', async () => {
    const number = await reigning('redis')
    const flow = a.tenant('acme').flow('quick', { durability: 'fast' })
    const other = b.tenant('acme').flow('quick')
    const seen = reading((signal) => other.subscribe({ after: '0', signal }))
    for (let n = 1; n <= 5; n++) await flow.publish('tick', { n })
    expect(await other.publish('tick', { n: 6 })).toMatchObject({ id: `${number}-6`, durability: 'fast' })
    await seen.until(6)
    await server.kill()
    const [first] = await Promise.all([flow.publish('tick', { n: 7 }), reigning('postgres', number)])
    expect(first.id).toMatch(new RegExp(`^${number + 1}-`))
    for (let n = 8; n <= 10; n++) await flow.publish('tick', { n })
    const during = await seen.until(11)
    const gap = gapOf(during[6])
    expect(gap).toMatchObject({ from: expect.stringMatching(/-7$/), reason: 'turn' })
    await server.start('same')
    const back = await reigning('redis', number + 1)
    const eleventh = await other.publish('tick', { n: 11 })
    expect(eleventh.id).toBe(`${back}-${Number(first.id.split('-')[1]) + 4}`)
    await seen.until(12)
    expect(seen.events.filter(({ type }) => type !== 'gap').map(({ payload }) => payload)).toEqual(
      upTo(11).map((n) => ({ n })),
    )
    // Who comes now reads from Redis what PostgreSQL took meanwhile.
    const late = reading((signal) => a.tenant('acme').flow('quick').subscribe({ after: '0', signal }))
    expect((await late.until(12)).map(({ type, payload }) => (type === 'gap' ? 'gap' : payload))).toEqual([
      ...upTo(6).map((n) => ({ n })),
      'gap',
      ...upTo(11, 7).map((n) => ({ n })),
    ])
    await Promise.all([seen.stop(), late.stop()])
    // Pages join to the same: the hole is named by the page behind it.
    const pages = a.tenant('acme').flow('quick')
    const one = await pages.history()
    expect(one.map(({ payload }) => payload)).toEqual(upTo(6).map((n) => ({ n })))
    const two = await pages.history({ after: one[5]?.id as string })
    expect(two.map(({ type, payload }) => (type === 'gap' ? 'gap' : payload))).toEqual([
      'gap',
      ...upTo(11, 7).map((n) => ({ n })),
    ])
  })

  it('refuses another durability, on every instance and store', async () => {
    await reigning('redis')
    await a.tenant('acme').flow('x', { durability: 'fast' }).publish('tick')
    await a.tenant('acme').flow('y').publish('tick')
    await expect(b.tenant('acme').flow('x', { durability: 'durable' }).publish('tick')).rejects.toMatchObject(
      { code: 'DURABILITY_FIXED' },
    )
    await expect(b.tenant('acme').flow('y', { durability: 'fast' }).publish('tick')).rejects.toMatchObject({
      code: 'DURABILITY_FIXED',
    })
  })
})
