import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'
import { LimitCheck } from '../../src/limits/check.js'
import type { LimitSpec, Policy } from '../../src/limits/limits.js'
import { RedisLimits } from '../../src/limits/redis.js'
import type { Verdict } from '../../src/limits/verdict.js'
import { BUCKETS, key } from '../../src/redis/keys.js'
import { Spillway } from '../../src/spillway.js'
import { openClient } from '../redis/open.js'
import { eventually } from '../support/eventually.js'
import { type FreshDatabase, type PostgresServer, startPostgres } from '../support/postgres.js'
import { type RedisServer, startRedis } from '../support/redis.js'
import { reignOf } from '../term/reign.js'

const TIMEOUT_MS = 300
const spec = (name: string, over: Partial<LimitSpec> = {}): LimitSpec => ({
  name,
  max: 10,
  perMs: 600_000,
  ...over,
})

describe('limits while stores are away', () => {
  let postgres: PostgresServer
  let database: FreshDatabase
  let server: RedisServer
  let a: Spillway
  let b: Spillway
  beforeEach(async () => {
    postgres = await startPostgres()
    server = await startRedis()
    database = await postgres.database()
    const open = () =>
      Spillway.open({
        postgres: database.url,
        redis: server.url,
        config: { poolSize: 4, limitTimeoutMs: TIMEOUT_MS },
      })
    a = await open()
    b = await open()
    await reigning('redis')
  }, 120_000)
  afterEach(async () => {
    await postgres.start()
    await Promise.all([a.close(), b.close()])
    await server.remove()
    await postgres.remove()
  })

  const reigning = (store: string, beyond = 0) =>
    eventually(
      () => {
        const [x, y] = [a.term.reign, b.term.reign]
        return x?.store === store && y?.number === x.number && x.number > beyond && x.number
      },
      { what: `${store} reigns beyond ${beyond}`, withinMs: 60_000 },
    ) as Promise<number>

  /** A take of an instance that has died since, and told nobody. */
  const takeAsTheDead = async (number: number, limit: LimitSpec) => {
    const redis = openClient(server.url)
    await redis.ready(5000)
    const sign = String(await redis.call('get', key('term:marker', { bucket: BUCKETS[0] ?? '' })))
    const limits = new LimitCheck('acme').all([limit])
    await new RedisLimits(redis).take([{ id: 'dead', limits, lease: true, strict: false }], {
      ...reignOf(number),
      sign,
    })
    redis.close()
  }

  const timed = async (take: Promise<Verdict>): Promise<[Verdict, number]> => {
    const asked = performance.now()
    return [await take, performance.now() - asked]
  }

  it('answer by their policy within the time-out when Redis hangs, and the next ones at once', async () => {
    const { limits } = a.tenant('acme')
    expect((await limits.take([spec('warm')])).decidedBy).toBe('redis')
    server.freeze()
    const policies: Policy[] = ['open', 'closed', 'local']
    const first = await Promise.all(
      policies.map((whenAway) => timed(limits.take([spec(`by-${whenAway}`, { whenAway })]))),
    )
    for (const [verdict, ms] of first) {
      expect(verdict.decidedBy).toBe('policy')
      // The time-out, and what this machine takes to look at the clock.
      expect(ms).toBeLessThan(500)
    }
    expect(first.map(([{ allowed }]) => allowed)).toEqual([true, false, true])
    expect(first[1]?.[0].retryAfterMs).toBeGreaterThan(0)
    const [again, ms] = await timed(limits.take([spec('next')]))
    expect(again.decidedBy).toBe('policy')
    expect(ms).toBeLessThan(50)
    server.thaw()
    await eventually(async () => (await limits.take([spec('after')])).decidedBy === 'redis', {
      what: 'Redis decides again',
      withinMs: 20_000,
    })
  }, 120_000)

  it('have by local no more than the share of one of two instances, of what was left', async () => {
    await eventually(() => a.term.fleet.length === 2, { what: 'both are seen' })
    const { limits } = a.tenant('acme')
    // Four of ten are used, so two of a's five are.
    await limits.take([spec('shared', { cost: 4 })])
    const numbers = ['fixed', 'sliding', 'sliding-log', 'token-bucket', 'concurrency'] as const
    for (const algorithm of numbers) await limits.take([spec(`l-${algorithm}`, { algorithm, cost: 4 })])
    await limits.take([spec('reset', { cost: 10 })])
    await limits.reset('reset')
    server.freeze()
    await limits.take([spec('notices')])
    const passes = async (one: LimitSpec) => {
      let passed = 0
      for (let i = 0; i < 10; i++) {
        const verdict = await limits.take([one])
        if (verdict.decidedBy === 'policy' && verdict.allowed) passed += 1
      }
      return passed
    }
    expect(await passes(spec('shared'))).toBe(3)
    for (const algorithm of numbers)
      expect([algorithm, await passes(spec(`l-${algorithm}`, { algorithm }))]).toEqual([algorithm, 3])
    expect([await passes(spec('fresh')), await passes(spec('reset'))]).toEqual([5, 5])
    // All or nothing here too: what is used up leaves the other as it is.
    expect((await limits.take([spec('other'), spec('fresh')])).allowed).toBe(false)
    expect(await passes(spec('other'))).toBe(5)
    // A lease that was granted here is given back here.
    const held = spec('held', { algorithm: 'concurrency', cost: 5 })
    const lease = await limits.take([held])
    expect([lease.allowed, (await limits.take([held])).allowed]).toEqual([true, false])
    await lease.release()
    expect((await limits.take([held])).allowed).toBe(true)
  }, 120_000)

  it('go on upon Redis while PostgreSQL is away, but for those that are closed then', async () => {
    const { limits } = a.tenant('acme')
    await limits.take([spec('on', { cost: 3 })])
    await postgres.stop('immediate')
    await eventually(() => a.term.reign === undefined, { what: 'trust runs out' })
    const verdict = await limits.take([spec('on', { cost: 3 })])
    expect([verdict.decidedBy, verdict.remaining]).toEqual(['redis', 4])
    const [closed] = await timed(limits.take([spec('on', { whenAway: 'closed' })]))
    expect([closed.decidedBy, closed.allowed]).toEqual(['policy', false])
    // That one waited; the next ones need not, and those beside it never did.
    const [next, ms] = await timed(limits.take([spec('on', { whenAway: 'closed' })]))
    expect([next.decidedBy, ms < 50]).toEqual(['policy', true])
    expect((await limits.take([spec('on')])).decidedBy).toBe('redis')
    await postgres.start()
    await eventually(
      async () => (await limits.take([spec('x', { whenAway: 'closed' })])).decidedBy === 'redis',
      {
        what: 'closed ones are decided again',
        withinMs: 30_000,
      },
    )
  }, 120_000)

  it('keep leases over turns, and give back what is released meanwhile', async () => {
    const held = (cost = 1) => [spec('jobs', { algorithm: 'concurrency', max: 5, cost, whenAway: 'closed' })]
    const number = await reigning('redis')
    const ofA = await a.tenant('acme').limits.take(held(2))
    const ofB = await b.tenant('acme').limits.take(held(2))
    expect([ofA.allowed, ofB.allowed, (await a.tenant('acme').limits.take(held(2))).allowed]).toEqual([
      true,
      true,
      false,
    ])
    await server.kill()
    await reigning('postgres', number)
    const onPostgres = () => a.tenant('acme').limits.take(held(2))
    await eventually(async () => (await onPostgres()).decidedBy === 'postgres', {
      what: 'PostgreSQL decides',
    })
    expect((await onPostgres()).allowed).toBe(false)
    await ofB.release()
    const third = await b.tenant('acme').limits.take(held(2))
    expect([third.allowed, third.decidedBy]).toEqual([true, 'postgres'])
    await third.release()
    // Redis comes back with what it had: two leases, of which one is over.
    await server.start('same')
    await reigning('redis', number + 1)
    const fourth = await a.tenant('acme').limits.take(held(3))
    expect([fourth.allowed, fourth.decidedBy]).toEqual([true, 'redis'])
    expect((await a.tenant('acme').limits.take(held())).allowed).toBe(false)
    await ofA.release()
    expect((await a.tenant('acme').limits.take(held(2))).allowed).toBe(true)
  }, 120_000)

  it('keep for longer what was renewed, over turns, by whichever instance, though the first one is gone', async () => {
    const number = await reigning('redis')
    const jobs = (perMs: number, cost = 2) => [
      spec('jobs', { algorithm: 'concurrency', max: 5, cost, perMs, whenAway: 'closed' }),
    ]
    const [ofA, ofB] = [a.tenant('acme').limits, b.tenant('acme').limits]
    const first = await ofA.take(jobs(600_000))
    const { lease = '' } = first
    const left = async () => (await ofB.list({ name: 'jobs' })).limits[0]
    expect([await first.renew(), await ofB.renew(lease ?? '', jobs(1_200_000, 1))]).toEqual([true, true])
    const second = await ofB.take(jobs(600_000))
    expect(second.allowed).toBe(true)
    const orphan = (cost: number) => spec('orphan', { algorithm: 'concurrency', cost })
    await takeAsTheDead(number, orphan(3))
    expect(await ofB.renew('dead', [orphan(1)])).toBe(true)
    await a.close()
    b.turn('postgres')
    await eventually(() => b.term.reign?.store === 'postgres' && b.term.reign.number > number, {
      what: 'PostgreSQL reigns',
      withinMs: 60_000,
    })
    const onPostgres = await left()
    expect(onPostgres?.used).toBe(4)
    // Whoever has renewed it knows from the store what it weighs.
    expect((await ofB.list({ name: 'orphan' })).limits[0]?.used).toBe(3)
    expect(onPostgres?.resetMs).toBeGreaterThan(1_100_000)
    expect([await ofB.renew(lease ?? '', jobs(1_800_000)), await second.renew()]).toEqual([true, true])
    b.turn('redis')
    await eventually(() => b.term.reign?.store === 'redis' && b.term.reign.number > number + 1, {
      what: 'Redis reigns',
      withinMs: 60_000,
    })
    const onRedis = await left()
    expect(onRedis?.used).toBe(4)
    expect(onRedis?.resetMs).toBeGreaterThan(1_700_000)
    // What is released before the answer has come is not renewed: at a turn it would come back.
    const [renewed] = await Promise.all([second.renew(), second.release()])
    expect([renewed, await second.renew(), await ofB.renew(lease ?? '', jobs(600_000))]).toEqual([
      false,
      false,
      true,
    ])
    expect((await left())?.used).toBe(2)
  }, 120_000)

  it('give back a lease that was granted too late to be of use', async () => {
    const jobs = spec('late', { algorithm: 'concurrency', max: 1, whenAway: 'closed' })
    const { limits } = a.tenant('acme')
    await limits.take([spec('warm')])
    server.freeze()
    const denied = limits.take([jobs])
    expect((await denied).allowed).toBe(false)
    // What lies in its socket is carried out now.
    server.thaw()
    await eventually(
      async () => {
        const verdict = await b.tenant('acme').limits.take([{ ...jobs, cost: 0 }])
        const { limits: found } = await b.tenant('acme').limits.list({ name: 'late' })
        return verdict.decidedBy === 'redis' && found.length === 0
      },
      { what: 'the lease is gone', withinMs: 20_000 },
    )
  }, 120_000)

  it('forget everywhere what is reset, also what another instance would bring along at a turn', async () => {
    const number = await reigning('redis')
    const limit = spec('reset', { whenAway: 'closed' })
    await b.tenant('acme').limits.take([{ ...limit, cost: 10 }])
    expect((await a.tenant('acme').limits.take([limit])).allowed).toBe(false)
    expect((await a.tenant('acme').limits.take([limit])).decidedBy).toBe('memory')
    expect(await a.tenant('acme').limits.reset('reset')).toBe(true)
    const again = await a.tenant('acme').limits.take([{ ...limit, cost: 2 }])
    expect([again.allowed, again.remaining]).toEqual([true, 8])
    a.turn('postgres')
    await reigning('postgres', number)
    // b was last told of ten.
    const after = await a.tenant('acme').limits.take([limit])
    expect([after.decidedBy, after.remaining]).toEqual(['postgres', 7])
  }, 120_000)

  it('count by the clock of the store alone', async () => {
    const limit = spec('clock', { perMs: 60_000 })
    await a.tenant('acme').limits.take([{ ...limit, cost: 10 }])
    const wrong = vi.spyOn(Date, 'now').mockImplementation(() => 4_102_444_800_000)
    try {
      const verdict = await b.tenant('acme').limits.take([limit])
      expect([verdict.allowed, verdict.decidedBy]).toEqual([false, 'redis'])
      expect(verdict.retryAfterMs).toBeLessThanOrEqual(60_000)
    } finally {
      wrong.mockRestore()
    }
  })
})
