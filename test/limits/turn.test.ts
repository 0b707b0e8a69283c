import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { ALGORITHMS, type LimitSpec } from '../../src/limits/limits.js'
import { Spillway } from '../../src/spillway.js'
import { freshDatabase } from '../support/database.js'
import { eventually } from '../support/eventually.js'
import type { FreshDatabase } from '../support/postgres.js'
import { type RedisServer, startRedis } from '../support/redis.js'
import { type Load, passedOf, sumOf, Takers } from './takers.js'

const LONG = 3_600_000
/** A take that was never answered by a store is denied: what passes was counted by one. */
const specs: readonly LimitSpec[] = Array.from({ length: 120 }, (_, i) => ({
  name: `user:${i}`,
  max: 20,
  perMs: LONG,
  algorithm: ALGORITHMS[i % 5] as (typeof ALGORITHMS)[number],
  cost: 1 + (i % 3),
  whenAway: 'closed',
}))
const load: Load = {
  tenant: 'acme',
  takes: [
    ...specs.map((spec) => [spec]),
    ...specs.map((spec, i) => [spec, specs[(i + 7) % specs.length] as LimitSpec]),
  ],
  callers: 4,
  pauseMs: 30,
}

describe('limits over a turn, five processes taking', () => {
  let database: FreshDatabase
  let server: RedisServer
  let watch: Spillway
  let takers: Takers
  beforeEach(async () => {
    server = await startRedis()
    database = await freshDatabase()
    watch = await Spillway.open({ postgres: database.url, redis: server.url, config: { poolSize: 4 } })
    takers = await Takers.start(5, { postgres: database.url, redis: server.url })
    await reigning('redis')
  }, 120_000)
  afterEach(async () => {
    await takers.kill()
    await watch.close()
    await server.remove()
    await database.drop()
  })

  const reigning = (store: string, beyond = 0) =>
    eventually(
      () => watch.term.reign?.store === store && watch.term.reign.number > beyond && watch.term.reign.number,
      {
        what: `${store} reigns beyond ${beyond}`,
        withinMs: 60_000,
      },
    ) as Promise<number>

  /** Something passes under this store. */
  const passing = (store: 'redis' | 'postgres') => {
    const before = watch.limitDecisions[store].allowed
    const probe = { name: `probe-${store}`, max: 1000, perMs: 60_000, whenAway: 'closed' } as const
    return eventually(
      async () => {
        await watch.tenant('acme').limits.take([probe])
        return watch.limitDecisions[store].allowed > before + 5
      },
      { what: `takes on ${store}`, everyMs: 50, withinMs: 30_000 },
    )
  }

  const check = async (running: Promise<Awaited<ReturnType<Takers['run']>>>) => {
    takers.stop()
    const report = await running
    // What is left of each, to the last unit: nobody may pass any more than that.
    const rest = await takers.run({ ...load, forMs: 3000, pauseMs: 2 })
    expect([...report.errors, ...rest.errors]).toEqual([])
    const both = { ...report, passed: [...report.passed, ...rest.passed] }
    const used = specs.map(({ name }) => sumOf(passedOf(both, load, name)))
    expect(used.filter((sum) => sum > 20)).toEqual([])
    expect(new Set(report.passed.map(({ by }) => by))).toEqual(new Set(['redis', 'postgres']))
    // The greater part was used: limits did not just stay closed.
    expect(used.reduce((sum, one) => sum + one, 0)).toBeGreaterThan(specs.length * 10)
  }

  it('pass no more than the limits when an operator turns, and turns back', async () => {
    const running = takers.run(load)
    const first = await reigning('redis')
    await passing('redis')
    watch.turn('postgres')
    await reigning('postgres', first)
    await passing('postgres')
    watch.turn('redis')
    await reigning('redis', first + 1)
    await passing('redis')
    await check(running)
  }, 180_000)

  it('pass no more than the limits when Redis is killed, and comes back with what it had or with nothing', async () => {
    const running = takers.run(load)
    let number = await reigning('redis')
    for (const how of ['same', 'empty'] as const) {
      await passing('redis')
      await server.kill()
      number = await reigning('postgres', number)
      await passing('postgres')
      await server.start(how)
      number = await reigning('redis', number)
    }
    await passing('redis')
    await check(running)
  }, 240_000)
})
