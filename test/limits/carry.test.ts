import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { LimitCarry } from '../../src/limits/carry.js'
import { ALGORITHMS, type Take } from '../../src/limits/limits.js'
import { Memory } from '../../src/limits/memory.js'
import { Sweep } from '../../src/limits/sweep.js'
import type { StoreName } from '../../src/term/term.js'
import { eventually } from '../support/eventually.js'
import { Carrying, ENDING, LONG, reign } from './carrying.js'

let at: Carrying
beforeAll(async () => {
  at = await Carrying.open()
})
afterAll(() => at.close())
beforeEach(() => at.begin())

describe('what PostgreSQL counted, carried to Redis', () => {
  const carrying = () => new LimitCarry({ memory: new Memory(), database: at.db, redis: at.redis })

  it('is there with all that came after the first part, and leases as they stand in the end', async () => {
    const carry = carrying()
    await at.count(
      ...ALGORITHMS.map((algorithm) => at.take('n', { algorithm, cost: 3 }, `first-${algorithm}`)),
      at.take('released', { algorithm: 'concurrency', cost: 2 }, 'gone'),
    )
    await carry.carry(ENDING, 'bulk')
    await at.count(
      ...ALGORITHMS.map((algorithm) => at.take('n', { algorithm, cost: 2 }, `second-${algorithm}`)),
      at.take('late'),
    )
    await at.postgres.release(
      [{ id: 'gone', tenant: at.tenant, names: ['released'] }],
      reign('postgres', ENDING),
    )
    await at.mark(`${ENDING + 1}:carrying:x`)
    await carry.carry(ENDING, 'rest')
    const expected = {
      ...Object.fromEntries(ALGORITHMS.map((algorithm) => [`${algorithm} n`, 5])),
      'fixed late': 1,
    }
    expect(await at.used(at.postgres)).toEqual(expected)
    expect(await at.used(at.onRedis)).toEqual(expected)
    // The same windows, but for a log, which counts as if just made.
    for (const { algorithm, resetMs } of (await at.onRedis.list(at.tenant, { limit: 10, name: 'n' }))
      .limits) {
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
    await at.mark('2:open:x')
    const lease = { id: 'first-concurrency', tenant: at.tenant, names: ['n'] }
    expect(await at.onRedis.release([lease], reign('redis', 2))).toBe(1)
    expect((await at.used(at.onRedis))['concurrency n']).toBe(2)
  })

  it('is carried once more where the first part was lost', async () => {
    const carry = carrying()
    await at.count(at.take('a', { cost: 4 }))
    await carry.carry(ENDING, 'bulk')
    // Long ago, so that it is not read again for having been under way.
    await at.everywhere('UPDATE spillway.limits SET touched_ms = touched_ms - 3600000')
    await at.mark(`${ENDING + 1}:carrying:x`)
    await carry.carry(ENDING, 'rest')
    expect(await at.used(at.onRedis)).toEqual({ 'fixed a': 4 })
    await at.redis.call('flushall')
    await carry.carry(ENDING, 'rest')
    expect(await at.used(at.onRedis)).toEqual({ 'fixed a': 4 })
  })

  it('never makes less of what Redis still has, and changes nothing when it comes twice or too late', async () => {
    const carry = carrying()
    await at.mark('0:open:x')
    const counters = ['fixed', 'sliding', 'token-bucket', 'sliding-log'] as const
    const more = counters.map((algorithm) => at.take('more', { algorithm, cost: 7 }))
    const less = counters.map((algorithm) => at.take('less', { algorithm, cost: 2 }))
    await at.onRedis.take([...more, ...less], reign('redis', 0))
    await at.count(...counters.map((algorithm) => at.take('more', { algorithm, cost: 3 })))
    await at.count(...counters.map((algorithm) => at.take('less', { algorithm, cost: 6 })))
    const greater = Object.fromEntries(
      counters.flatMap((one) => [
        [`${one} more`, 7],
        [`${one} less`, 6],
      ]),
    )
    for (let i = 0; i < 2; i++) {
      await carry.carry(ENDING, 'rest')
      expect(await at.used(at.onRedis)).toEqual(greater)
    }
    await at.count(at.take('late'))
    for (const later of [`${ENDING + 1}:open:x`, `${ENDING + 2}:carrying:x`]) {
      await at.mark(later)
      await carry.carry(ENDING, 'rest')
      expect(await at.used(at.onRedis)).toEqual(greater)
    }
    await at.mark(`${ENDING + 1}:carrying:x`)
    await carry.carry(ENDING, 'rest')
    expect(await at.used(at.onRedis)).toEqual({ ...greater, 'fixed late': 1 })
  })

  it('comes whole, however much it is', async () => {
    const many = Array.from({ length: 2500 }, (_, i) => at.take(`user:${i}`, { cost: 1 + (i % 9) }))
    for (let i = 0; i < many.length; i += 250) await at.count(...many.slice(i, i + 250))
    const leases = Array.from({ length: 2100 }, (_, i) =>
      at.take('leases', { algorithm: 'concurrency', max: 9999 }, `l${i}`),
    )
    for (let i = 0; i < leases.length; i += 300) await at.count(...leases.slice(i, i + 300))
    expect(await carrying().carry(ENDING, 'rest')).toBe(2500 + 1 + 2100)
    for (const i of [0, 1999, 2000, 2499])
      expect((await at.one(at.onRedis, `user:${i}`))?.used).toBe(1 + (i % 9))
    expect((await at.one(at.onRedis, 'leases'))?.used).toBe(2100)
  })
})

describe('what instances were told by Redis, told to PostgreSQL', () => {
  const REIGN = 5
  const instance = () => {
    const memory = new Memory()
    const carry = new LimitCarry({ memory, database: at.db, redis: at.redis })
    return {
      learn: (one: Take, a: number, b = 0, age = 0) =>
        memory.learn(one, [{ room: true, a, b, age }], reign('redis', REIGN), true),
      memory,
      stop: () => at.db.scoped('all', (tx) => carry.reclaim(tx, REIGN)),
      catchUp: (number: number, store: StoreName = 'postgres') => carry.catchUp(reign(store, number)),
    }
  }

  it('is the greatest of what any of them was told, whoever comes first', async () => {
    for (const order of [
      [0, 1],
      [1, 0],
    ]) {
      await at.everywhere('DELETE FROM spillway.limits')
      await at.everywhere('DELETE FROM spillway.limit_entries')
      const both = [instance(), instance()]
      both.forEach((own, i) => {
        own.learn(at.take('fixed'), 3 + 5 * i)
        own.learn(at.take('sliding', { algorithm: 'sliding' }), 1, 3 + 4 * i, 1000)
        own.learn(at.take('bucket', { algorithm: 'token-bucket' }), (3 + 3 * i) * LONG)
        own.learn(at.take('log', { algorithm: 'sliding-log' }), 3 + 2 * i, LONG)
        own.learn(at.take('leases', { algorithm: 'concurrency', cost: 2 }, `lease-${i}`), 4, LONG)
      })
      for (const i of order) await both[i]?.stop()
      expect(await at.used(at.postgres)).toEqual({
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
    own.learn(at.take('over', { perMs: 10 }), 5, 0, 10)
    own.learn(at.take('nothing'), 0)
    const jobs = { algorithm: 'concurrency' } as const
    own.learn(at.take('over', { ...jobs, perMs: 1 }), 1, 1)
    own.learn(at.take('looked-at', { ...jobs, cost: 0 }), 1, 1)
    // Once more, after it was counted and reset before.
    await at.count(at.take('reset', { perMs: 1 }))
    await at.postgres.forget(at.tenant, 'reset')
    own.learn(at.take('reset', jobs), 1, LONG)
    own.learn(at.take('reset'), 5)
    own.learn(at.take('kept'), 5)
    own.memory.learn(at.take('older'), [{ room: true, a: 5, b: 0, age: 0 }], reign('redis', REIGN - 1), true)
    own.memory.learn(at.take('own'), [{ room: true, a: 5, b: 0, age: 0 }], reign('postgres', REIGN), true)
    const learnt = performance.now()
    await eventually(() => performance.now() > learnt + 5, { what: 'some ms' })
    await at.postgres.forget(at.tenant, 'reset')
    // What says that it was reset outlives what was counted.
    expect(await new Sweep(at.db).page(0)).toBe(0)
    await own.stop()
    expect(await at.used(at.postgres)).toEqual({ 'fixed kept': 5 })
    const rows = await at.everywhere<{ name: string }>(
      `SELECT name FROM spillway.limits WHERE name <> 'reset' UNION ALL SELECT name FROM spillway.limit_entries`,
    )
    expect(rows).toEqual([{ name: 'kept' }])
  })

  it('comes afterwards from one that stood still at the turn, once', async () => {
    const own = instance()
    own.learn(at.take('late'), 5)
    // Where Redis goes on to reign there is nobody to tell.
    await own.catchUp(REIGN + 1, 'redis')
    expect(await at.used(at.postgres)).toEqual({})
    await own.catchUp(REIGN + 1)
    expect(await at.used(at.postgres)).toEqual({ 'fixed late': 5 })
    await at.everywhere('DELETE FROM spillway.limits')
    await own.catchUp(REIGN + 1)
    expect(await at.used(at.postgres)).toEqual({})
  })
})

describe('what is over', () => {
  it('goes from PostgreSQL, a page after the other, and nothing else', async () => {
    const short = Array.from({ length: 1200 }, (_, i) => at.take(`short-${i}`, { perMs: 1 }))
    for (let i = 0; i < short.length; i += 200)
      await at.postgres.take(short.slice(i, i + 200), reign('postgres', ENDING))
    await at.postgres.take(
      [
        at.take('long'),
        at.take('log', { algorithm: 'sliding-log' }),
        at.take('brief', { algorithm: 'sliding-log', perMs: 1 }),
      ],
      reign('postgres', ENDING),
    )
    const sweep = new Sweep(at.db)
    expect(await sweep.page()).toBe(0)
    let removed = 0
    for (let page = 0; page < 4; page++) removed += await sweep.page(0)
    expect(removed).toBe(1201)
    expect(await at.used(at.postgres)).toEqual({ 'fixed long': 1, 'sliding-log log': 1 })
    const [rows] = await at.everywhere<{ entries: number }>(
      'SELECT count(*)::integer AS entries FROM spillway.limit_entries',
    )
    expect(rows).toEqual({ entries: 1 })
  })

  /** Rows as takes leave them. */
  const rows = (prefix: string, count: number, leftMs: number) =>
    at.everywhere(
      `INSERT INTO spillway.limits (tenant, name, algorithm, most, per_ms, a, ends_ms)
       SELECT $1, $2 || lpad(i::text, 5, '0'), 'fixed', 9, 9, 1, spillway.now_ms() + $4::bigint
       FROM generate_series(1, $3::integer) AS i`,
      [at.tenant, prefix, count, leftMs],
    )
  const left = async () => {
    const [row] = await at.everywhere<{ n: number }>('SELECT count(*)::integer AS n FROM spillway.limits')
    return row?.n
  }

  it('goes from PostgreSQL though it lies behind many that are not over', async () => {
    await rows('a', 1500, LONG)
    await rows('z', 10, -LONG)
    const sweep = new Sweep(at.db)
    expect([await sweep.page(), await sweep.page()]).toEqual([0, 10])
  })

  it('goes in one round as long as there is much of it', async () => {
    await rows('a', 2300, -LONG)
    await new Sweep(at.db).round()
    expect(await left()).toBe(0)
  })

  it('does not wait for those who take, nor remove what they count', async () => {
    await rows('a', 3, -LONG)
    const sweep = new Sweep(at.db)
    await at.db.scoped('all', async (tx) => {
      await tx.query(`UPDATE spillway.limits SET ends_ms = spillway.now_ms() + ${LONG} WHERE name = 'a00002'`)
      expect(await sweep.page()).toBe(2)
    })
    expect([await sweep.page(), await left()]).toEqual([0, 1])
  })

  it('goes from Redis by itself: no key outlives what it says', async () => {
    await at.mark('2:open:x')
    const half = { cost: 5, max: 10, perMs: 60_000 }
    await at.onRedis.take(
      ALGORITHMS.map((algorithm) => at.take('n', { algorithm, ...half })),
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
      const name = at.check.one({ name: 'n', algorithm, ...half }).key
      const left = Number(await at.redis.call('pttl', name))
      expect(left).toBeLessThanOrEqual(lives[algorithm])
      expect(left).toBeGreaterThan(lives[algorithm] - 10_000)
    }
    // A lease that is renewed takes its key along, and never makes it shorter.
    const { key: leases } = at.check.one({ name: 'n', algorithm: 'concurrency', ...half })
    for (const [perMs, lives] of [
      [1000, 60_000],
      [90_000, 90_000],
    ] as const) {
      const renewal = { id: 'n-5', tenant: at.tenant, limits: [{ name: 'n', perMs }] }
      expect(await at.onRedis.renew(renewal, reign('redis', 2))).toEqual([5])
      const left = Number(await at.redis.call('pttl', leases))
      expect(left).toBeLessThanOrEqual(lives)
      expect(left).toBeGreaterThan(lives - 10_000)
    }
  })
})
