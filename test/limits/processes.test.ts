import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import type { LimitSpec } from '../../src/limits/limits.js'
import { Spillway } from '../../src/spillway.js'
import { freshDatabase } from '../support/database.js'
import { eventually } from '../support/eventually.js'
import type { FreshDatabase } from '../support/postgres.js'
import { type RedisServer, startRedis } from '../support/redis.js'
import { type Load, mostWithin, passedOf, sumOf, Takers } from './takers.js'

const LONG = 600_000
const PROCESSES = 5

const spec = (name: string, over: Partial<LimitSpec> = {}): LimitSpec => ({
  name,
  max: 100,
  perMs: LONG,
  whenAway: 'closed',
  ...over,
})

/** Limits that outlast the run, alone and together, light and heavy. */
const long: Load = {
  tenant: 'acme',
  takes: [
    [spec('fixed')],
    [spec('sliding', { algorithm: 'sliding', cost: 3 })],
    [spec('log', { algorithm: 'sliding-log', cost: 2 })],
    [spec('bucket', { algorithm: 'token-bucket', cost: 7 })],
    [spec('leases', { algorithm: 'concurrency' })],
    [spec('fixed', { cost: 5 }), spec('both', { max: 60 }), spec('log', { algorithm: 'sliding-log' })],
    [spec('both', { max: 60, cost: 4 }), spec('leases', { algorithm: 'concurrency', cost: 2 })],
    [spec('never', { max: 1, cost: 1 }), spec('scarce', { max: 3 })],
  ],
  callers: 10,
  forMs: 1500,
}

/** Limits that come back many times within the run. */
const short: Load = {
  tenant: 'acme',
  takes: [
    [spec('short-fixed', { perMs: 400, max: 20 })],
    [spec('short-sliding', { perMs: 400, max: 20, algorithm: 'sliding' })],
    [spec('short-log', { perMs: 400, max: 20, algorithm: 'sliding-log' })],
    [spec('short-bucket', { perMs: 400, max: 20, algorithm: 'token-bucket' })],
    [
      spec('short-log', { perMs: 400, max: 20, algorithm: 'sliding-log', cost: 3 }),
      spec('wide', { perMs: 400, max: 9999 }),
    ],
  ],
  callers: 6,
  forMs: 2500,
}

describe('five processes at the same limits', () => {
  let database: FreshDatabase
  let server: RedisServer
  let takers: Takers | undefined
  beforeAll(async () => {
    server = await startRedis()
    database = await freshDatabase()
  })
  afterAll(async () => {
    await takers?.kill()
    await server.remove()
    await database.drop()
  })

  const check = async (all: Takers, store: string) => {
    const report = await all.run(long)
    expect(report.errors).toEqual([])
    const used = (name: string) => sumOf(passedOf(report, long, name))
    // All were asked for far more than there is: each is used to the last unit that somebody's weight fits into, but for
    // what a store counted whose answer came too late on a busy machine.
    const late = report.denied.policy ?? 0
    const most = { fixed: 100, sliding: 99, log: 100, bucket: 98, leases: 100, both: 60, never: 1, scarce: 1 }
    const least = { fixed: 100, sliding: 99, log: 99, bucket: 98, leases: 99, both: 50, never: 1, scarce: 1 }
    for (const [name, limit] of Object.entries(most))
      expect([name, used(name) <= limit]).toEqual([name, true])
    for (const [name, limit] of Object.entries(least))
      expect([name, used(name) + 7 * late >= limit]).toEqual([name, true])
    expect(new Set(report.passed.map(({ by }) => by))).toEqual(new Set([store]))

    const quick = await all.run(short)
    expect(quick.errors).toEqual([])
    const of = (name: string) => passedOf(quick, short, name)
    // The stores count in whole ms, so that 400 of them may begin and end up to 1 ms closer.
    expect(mostWithin(of('short-log'), 400 - 1)).toBeLessThanOrEqual(20)
    // One more than a window's worth only by what has drained meanwhile.
    for (const ms of [100, 400, 1000]) {
      expect(mostWithin(of('short-bucket'), ms)).toBeLessThanOrEqual(20 + Math.ceil((ms * 20) / 400))
      const windows = Math.ceil(ms / 400) + 1
      expect(mostWithin(of('short-fixed'), ms)).toBeLessThanOrEqual(20 * windows)
      expect(mostWithin(of('short-sliding'), ms)).toBeLessThanOrEqual(20 * windows)
    }
    // They came back: this is not a run in which nothing happened.
    for (const name of ['short-log', 'short-bucket', 'short-fixed', 'short-sliding'])
      expect(sumOf(of(name))).toBeGreaterThan(60)
  }

  it('never pass more than the models allow, on PostgreSQL alone', async () => {
    const own = await freshDatabase()
    const alone = await Takers.start(PROCESSES, { postgres: own.url })
    try {
      await check(alone, 'postgres')
    } finally {
      await alone.kill()
      await own.drop()
    }
  }, 120_000)

  it('never pass more than the models allow, on Redis beside PostgreSQL', async () => {
    const watch = await Spillway.open({ postgres: database.url, redis: server.url })
    try {
      takers = await Takers.start(PROCESSES, { postgres: database.url, redis: server.url })
      await eventually(() => watch.term.reign?.store === 'redis', {
        withinMs: 30_000,
        what: 'the reign of Redis',
      })
      await check(takers, 'redis')
    } finally {
      await watch.close()
    }
  }, 120_000)
})
