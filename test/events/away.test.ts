import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import type { FlowEvent } from '../../src/index.js'
import { eventually } from '../support/eventually.js'
import { type Link, startLink } from '../support/faults/link.js'
import { type PostgresServer, startPostgres } from '../support/postgres.js'
import { type RedisServer, startRedis } from '../support/redis.js'
import { reigns } from '../term/fleet.js'
import { type Half, openHalf } from './pair.js'
import { reading, seqs, upTo } from './readers.js'

const AWAY = { code: 'STORE_UNAVAILABLE', temporary: true }

describe('while PostgreSQL is away and Redis is there', () => {
  let postgres: PostgresServer
  let redis: RedisServer
  /** The first one's way to PostgreSQL. */
  let link: Link
  let halves: Half[]
  beforeAll(async () => {
    postgres = await startPostgres()
    redis = await startRedis()
  })
  afterAll(async () => {
    await postgres?.remove()
    await redis?.remove()
  })
  beforeEach(async () => {
    halves = []
    await redis.ask('FLUSHALL')
    const { url } = await postgres.database()
    link = await startLink(url)
    halves = [
      await openHalf('one', { postgres: link.url, redis: redis.url }),
      await openHalf('two', { postgres: url, redis: redis.url }),
    ]
    await reigns(
      halves.map(({ instance }) => instance),
      'redis',
    )
  })
  afterEach(async () => {
    await postgres.start()
    await link.heal()
    await Promise.all(halves.map((half) => half.close()))
    await link.close()
  })

  const publish = async (half: Half, flow: string, from: number, to: number) => {
    for (let n = from; n <= to; n++) await half.flow(flow).publish('tick', { n })
  }
  const inTail = (flow: string, count: number) =>
    eventually(async () => Number(await redis.ask('XLEN', `flow:events:{acme:${flow}}`)) === count)
  const ids = (events: readonly FlowEvent[]) => events.map(({ id }) => id)

  it('the hot tail answers for the stretch that it has whole, and for no other', async () => {
    const [one, two] = halves as [Half, Half]
    const heard = reading((signal) => two.flow('heard').subscribe({ after: '0', signal }))
    await publish(one, 'heard', 1, 20)
    await heard.until(20)
    await publish(one, 'unheard', 1, 3)
    await publish(one, 'late', 1, 5)
    const late = reading((signal) => two.flow('late').subscribe({ after: '0', signal }))
    await late.until(5)
    await publish(one, 'late', 6, 9)
    await late.until(9)
    await inTail('heard', 20)
    await inTail('late', 4)
    const before = await one.flow('heard').history({ after: '1-5', limit: 10 })
    await postgres.stop('immediate')

    const flow = one.flow('heard')
    expect(await flow.history({ after: '1-5', limit: 10 })).toEqual(before)
    expect(seqs(await flow.history({ limit: 20 }))).toEqual(upTo(20))
    expect(seqs(await flow.history({ before: '1-11', order: 'desc', limit: 4 }))).toEqual([10, 9, 8, 7])
    expect(seqs(await flow.history({ after: '1-18', before: '1-21' }))).toEqual([19, 20])
    // Whether there is more behind its end only PostgreSQL knows: a page says so, a list cannot.
    const page = await flow.readPage({ after: '1-15' })
    expect([page.events.map(({ seq }) => seq), page.more]).toEqual([upTo(20, 16), true])
    await expect(flow.history({ after: '1-15' })).rejects.toMatchObject(AWAY)
    await expect(flow.history({ last: 3 })).rejects.toMatchObject(AWAY)
    await expect(flow.readPage({ after: '1-20' })).rejects.toMatchObject(AWAY)
    // Nobody heard of these, or of their beginning.
    await expect(one.flow('unheard').history({ after: '1-1', limit: 1 })).rejects.toMatchObject(AWAY)
    await expect(one.flow('late').readPage({ after: '1-3' })).rejects.toMatchObject(AWAY)
    await expect(one.flow('late').readPage({})).rejects.toMatchObject(AWAY)
    expect(seqs(await one.flow('late').history({ after: '1-5', limit: 4 }))).toEqual(upTo(9, 6))
    // Of another life of the log.
    await expect(flow.readPage({ after: '2-5' })).rejects.toMatchObject(AWAY)
    await Promise.all([heard.stop(), late.stop()])
  })

  it('fast flows are read and heard by instances that have not met them, and go on', async () => {
    const [one, two] = halves as [Half, Half]
    const flow = one.flow('fast', 'fast')
    const first = await flow.publishMany([{ type: 'tick' }, { type: 'tick' }, { type: 'tick' }])
    await postgres.stop('immediate')
    const number = Number(first[0]?.id.split('-')[0])
    expect(ids(await two.flow('fast').history())).toEqual(upTo(3).map((n) => `${number}-${n}`))
    const seen = reading((signal) => two.flow('fast').subscribe({ after: '0', signal }))
    await seen.until(3)
    await flow.publish('tick')
    expect(seqs(await seen.until(4))).toEqual(upTo(4))
    await seen.stop()
  })

  it('fast flows that are known do not wait for one that is new, while PostgreSQL says nothing', async () => {
    const [one] = halves as [Half]
    for (const known of ['a', 'b']) await one.flow(known, 'fast').publish('tick')
    link.blackHole()
    const fresh = one.flow('fresh', 'fast').publish('tick')
    const began = performance.now()
    for (let n = 0; n < 3; n++) await Promise.all(['a', 'b'].map((known) => one.flow(known).publish('tick')))
    expect(performance.now() - began).toBeLessThan(2500)
    await link.heal()
    expect(seqs([await fresh])).toEqual([1])
    expect(await one.flow('a').history()).toHaveLength(4)
  })
})
