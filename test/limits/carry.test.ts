import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { LimitCarry } from '../../src/limits/carry.js'
import { LimitCheck } from '../../src/limits/check.js'
import { ALGORITHMS, type LimitReport, type LimitSpec, type Take } from '../../src/limits/limits.js'
import { Memory } from '../../src/limits/memory.js'
import { PostgresLimits } from '../../src/limits/postgres.js'
import { RedisLimits } from '../../src/limits/redis.js'
import { Sweep } from '../../src/limits/sweep.js'
import { migrate } from '../../src/postgres/migrate.js'
import { ServerDatabase } from '../../src/postgres/server.js'
import type { RedisClient } from '../../src/redis/client.js'
import { BUCKETS, key } from '../../src/redis/keys.js'
import type { Reign } from '../../src/term/term.js'
import { openClient } from '../redis/open.js'
import { freshDatabase } from '../support/database.js'
import { eventually } from '../support/eventually.js'
import type { FreshDatabase } from '../support/postgres.js'
import { type RedisServer, startRedis } from '../support/redis.js'

const LONG = 3_600_000
const ENDING = 1
const reign = (store: 'redis' | 'postgres', number: number): Reign => ({
  number,
  store,
  sign: store === 'redis' ? `${number}:open:x` : '',
  marker: '',
  fenceFloor: 0,
  identity: '',
  quarantined: false,
})

let database: FreshDatabase
let db: ServerDatabase
let server: RedisServer
let redis: RedisClient
let postgres: PostgresLimits
let onRedis: RedisLimits
let run = 0
let check: LimitCheck
let tenant: string

beforeAll(async () => {
  database = await freshDatabase()
  db = new ServerDatabase({ url: database.url, listenUrl: null, poolSize: 4 })
  await migrate(db)
  server = await startRedis()
  redis = openClient(server.url, {}, { commandTimeoutMs: 5000 })
  await redis.ready(5000)
  postgres = new PostgresLimits(db)
  onRedis = new RedisLimits(redis)
})
afterAll(async () => {
  redis.close()
  await server.remove()
  await db.close()
  await database.drop()
})
beforeEach(async () => {
  run += 1
  tenant = `t${run}`
  check = new LimitCheck(tenant)
  await everywhere('DELETE FROM spillway.limits')
  await everywhere('DELETE FROM spillway.limit_entries')
  await redis.call('flushall')
})

/** Row-level security lets nobody else see all of them. */
const everywhere = <R extends object>(text: string) => db.scoped('all', (tx) => tx.query<R>(text))
const take = (name: string, over: Partial<LimitSpec> = {}, id = `${name}-${over.cost ?? 1}`): Take => ({
  id,
  limits: check.all([{ name, max: 10, perMs: LONG, ...over }]),
  lease: over.algorithm === 'concurrency',
  strict: false,
})
const mark = (text: string) =>
  Promise.all(BUCKETS.map((bucket) => redis.call('set', key('term:marker', { bucket }), text)))
const used = async (store: PostgresLimits | RedisLimits) =>
  Object.fromEntries(
    (await store.list(tenant, { limit: 1000 })).limits.map((one) => [
      `${one.algorithm} ${one.name}`,
      one.used,
    ]),
  )
const one = async (store: PostgresLimits | RedisLimits, name: string): Promise<LimitReport | undefined> =>
  (await store.list(tenant, { limit: 10, name })).limits[0]

describe('what PostgreSQL counted, carried to Redis', () => {
  const carrying = () => new LimitCarry({ memory: new Memory(), database: db, redis })
  const count = (...takes: readonly Take[]) => postgres.take(takes, reign('postgres', ENDING))

  it('is there with all that came after the first part, and leases as they stand in the end', async () => {
    const carry = carrying()
    await count(
      ...ALGORITHMS.map((algorithm) => take('n', { algorithm, cost: 3 }, `first-${algorithm}`)),
      take('released', { algorithm: 'concurrency', cost: 2 }, 'gone'),
    )
    await carry.carry(ENDING, 'bulk')
    await count(
      ...ALGORITHMS.map((algorithm) => take('n', { algorithm, cost: 2 }, `second-${algorithm}`)),
      take('late'),
    )
    await postgres.release([{ id: 'gone', tenant, names: ['released'] }], reign('postgres', ENDING))
    await mark(`${ENDING + 1}:carrying:x`)
    await carry.carry(ENDING, 'rest')
    const expected = {
      ...Object.fromEntries(ALGORITHMS.map((algorithm) => [`${algorithm} n`, 5])),
      'fixed late': 1,
    }
    expect(await used(postgres)).toEqual(expected)
    expect(await used(onRedis)).toEqual(expected)
    // The same windows, but for a log, which counts as if just made.
    for (const { algorithm, resetMs } of (await onRedis.list(tenant, { limit: 10, name: 'n' })).limits) {
      const most = {
        fixed: LONG,
        sliding: 2 * LONG,
        'token-bucket': LONG / 2,
        'sliding-log': LONG,
        concurrency: LONG,
      }
      expect(resetMs).toBeLessThanOrEqual(most[algorithm])
      expect(resetMs).toBeGreaterThan(most[algorithm] - 60_000)
    }
    // A lease that was carried ends by its own id.
    await mark('2:open:x')
    const lease = { id: 'first-concurrency', tenant, names: ['n'] }
    expect(await onRedis.release([lease], reign('redis', 2))).toBe(1)
    expect((await used(onRedis))['concurrency n']).toBe(2)
  })

  it('is carried once more where the first part was lost', async () => {
    const carry = carrying()
    await count(take('a', { cost: 4 }))
    await carry.carry(ENDING, 'bulk')
    // Long ago, so that it is not read again for having been under way.
    await everywhere('UPDATE spillway.limits SET touched_ms = touched_ms - 3600000')
    await mark(`${ENDING + 1}:carrying:x`)
    await carry.carry(ENDING, 'rest')
    expect(await used(onRedis)).toEqual({ 'fixed a': 4 })
    await redis.call('flushall')
    await carry.carry(ENDING, 'rest')
    expect(await used(onRedis)).toEqual({ 'fixed a': 4 })
  })

  it('never makes less of what Redis still has, and changes nothing when it comes twice or too late', async () => {
    const carry = carrying()
    await mark('0:open:x')
    const counters = ['fixed', 'sliding', 'token-bucket', 'sliding-log'] as const
    const more = counters.map((algorithm) => take('more', { algorithm, cost: 7 }))
    const less = counters.map((algorithm) => take('less', { algorithm, cost: 2 }))
    await onRedis.take([...more, ...less], reign('redis', 0))
    await count(...counters.map((algorithm) => take('more', { algorithm, cost: 3 })))
    await count(...counters.map((algorithm) => take('less', { algorithm, cost: 6 })))
    const greater = Object.fromEntries(
      counters.flatMap((one) => [
        [`${one} more`, 7],
        [`${one} less`, 6],
      ]),
    )
    for (let i = 0; i < 2; i++) {
      await carry.carry(ENDING, 'rest')
      expect(await used(onRedis)).toEqual(greater)
    }
    await count(take('late'))
    for (const later of [`${ENDING + 1}:open:x`, `${ENDING + 2}:carrying:x`]) {
      await mark(later)
      await carry.carry(ENDING, 'rest')
      expect(await used(onRedis)).toEqual(greater)
    }
    await mark(`${ENDING + 1}:carrying:x`)
    await carry.carry(ENDING, 'rest')
    expect(await used(onRedis)).toEqual({ ...greater, 'fixed late': 1 })
  })

  it('comes whole, however much it is', async () => {
    const many = Array.from({ length: 2500 }, (_, i) => take(`user:${i}`, { cost: 1 + (i % 9) }))
    for (let i = 0; i < many.length; i += 250) await count(...many.slice(i, i + 250))
    const leases = Array.from({ length: 2100 }, (_, i) =>
      take('leases', { algorithm: 'concurrency', max: 9999 }, `l${i}`),
    )
    for (let i = 0; i < leases.length; i += 300) await count(...leases.slice(i, i + 300))
    expect(await carrying().carry(ENDING, 'rest')).toBe(2500 + 1 + 2100)
    for (const i of [0, 1999, 2000, 2499]) expect((await one(onRedis, `user:${i}`))?.used).toBe(1 + (i % 9))
    expect((await one(onRedis, 'leases'))?.used).toBe(2100)
  })
})

describe('what instances were told by Redis, told to PostgreSQL', () => {
  const REIGN = 5
  const instance = () => {
    const memory = new Memory()
    const carry = new LimitCarry({ memory, database: db, redis })
    return {
      learn: (one: Take, a: number, b = 0, age = 0) =>
        memory.learn(one, [{ room: true, a, b, age }], reign('redis', REIGN), true),
      memory,
      stop: () => db.scoped('all', (tx) => carry.reclaim(tx, REIGN)),
      catchUp: (number: number) => carry.catchUp(reign('postgres', number)),
    }
  }

  it('is the greatest of what any of them was told, whoever comes first', async () => {
    for (const order of [
      [0, 1],
      [1, 0],
    ]) {
      await everywhere('DELETE FROM spillway.limits')
      await everywhere('DELETE FROM spillway.limit_entries')
      const both = [instance(), instance()]
      both.forEach((own, i) => {
        own.learn(take('fixed'), 3 + 5 * i)
        own.learn(take('sliding', { algorithm: 'sliding' }), 1, 3 + 4 * i, 1000)
        own.learn(take('bucket', { algorithm: 'token-bucket' }), (3 + 3 * i) * LONG)
        own.learn(take('log', { algorithm: 'sliding-log' }), 3 + 2 * i, LONG)
        own.learn(take('leases', { algorithm: 'concurrency', cost: 2 }, `lease-${i}`), 4, LONG)
      })
      for (const i of order) await both[i]?.stop()
      expect(await used(postgres)).toEqual({
        'fixed fixed': 8,
        'sliding sliding': 8,
        'token-bucket bucket': 6,
        'sliding-log log': 5,
        'concurrency leases': 4,
      })
    }
  })

  it('is not what is over, was told in another reign, or was reset since', async () => {
    const own = instance()
    own.learn(take('over', { perMs: 10 }), 5, 0, 10)
    own.learn(take('reset'), 5)
    own.learn(take('kept'), 5)
    own.memory.learn(take('older'), [{ room: true, a: 5, b: 0, age: 0 }], reign('redis', REIGN - 1), true)
    own.memory.learn(take('own'), [{ room: true, a: 5, b: 0, age: 0 }], reign('postgres', REIGN), true)
    const learnt = performance.now()
    await eventually(() => performance.now() > learnt + 5, { what: 'some ms' })
    await postgres.forget(tenant, 'reset')
    await own.stop()
    expect(await used(postgres)).toEqual({ 'fixed kept': 5 })
  })

  it('comes afterwards from one that stood still at the turn, once', async () => {
    const own = instance()
    own.learn(take('late'), 5)
    await own.catchUp(REIGN + 1)
    expect(await used(postgres)).toEqual({ 'fixed late': 5 })
    await everywhere('DELETE FROM spillway.limits')
    await own.catchUp(REIGN + 1)
    expect(await used(postgres)).toEqual({})
  })
})

describe('what is over', () => {
  it('goes from PostgreSQL, a page after the other, and nothing else', async () => {
    const short = Array.from({ length: 1200 }, (_, i) => take(`short-${i}`, { perMs: 1 }))
    for (let i = 0; i < short.length; i += 200)
      await postgres.take(short.slice(i, i + 200), reign('postgres', ENDING))
    await postgres.take(
      [
        take('long'),
        take('log', { algorithm: 'sliding-log' }),
        take('brief', { algorithm: 'sliding-log', perMs: 1 }),
      ],
      reign('postgres', ENDING),
    )
    const sweep = new Sweep(db)
    expect(await sweep.page()).toBe(0)
    let removed = 0
    for (let page = 0; page < 4; page++) removed += await sweep.page(0)
    expect(removed).toBe(1201)
    expect(await used(postgres)).toEqual({ 'fixed long': 1, 'sliding-log log': 1 })
    const [rows] = await everywhere<{ entries: number }>(
      'SELECT count(*)::integer AS entries FROM spillway.limit_entries',
    )
    expect(rows).toEqual({ entries: 1 })
  })

  it('goes from Redis by itself: no key outlives what it says', async () => {
    await mark('2:open:x')
    const half = { cost: 5, max: 10, perMs: 60_000 }
    await onRedis.take(
      ALGORITHMS.map((algorithm) => take('n', { algorithm, ...half })),
      reign('redis', 2),
    )
    const lives = {
      fixed: 60_000,
      sliding: 120_000,
      'token-bucket': 30_000,
      'sliding-log': 60_000,
      concurrency: 60_000,
    }
    for (const algorithm of ALGORITHMS) {
      const name = check.one({ name: 'n', algorithm, ...half }).key
      const left = Number(await redis.call('pttl', name))
      expect(left).toBeLessThanOrEqual(lives[algorithm])
      expect(left).toBeGreaterThan(lives[algorithm] - 10_000)
    }
  })
})
