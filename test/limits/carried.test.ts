import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { LimitCarry } from '../../src/limits/carry.js'
import { type Counter, settled } from '../../src/limits/counters.js'
import type { Algorithm } from '../../src/limits/limits.js'
import { Memory } from '../../src/limits/memory.js'
import { keyOf } from '../../src/limits/names.js'
import type { RedisClient, Reply } from '../../src/redis/client.js'
import { BUCKETS, key } from '../../src/redis/keys.js'
import { eventually } from '../support/eventually.js'
import { Carrying, ENDING, LONG, reign } from './carrying.js'

/** What a test may take. */
const SOON = 60_000
const MAX = 10

let at: Carrying
beforeAll(async () => {
  at = await Carrying.open()
})
afterAll(() => at.close())
beforeEach(() => at.begin())

const carrying = (redis: RedisClient = at.redis) =>
  new LimitCarry({ memory: new Memory(), database: at.db, redis })
/** As if nothing had been under way for an hour. */
const long = () => at.everywhere('UPDATE spillway.limits SET touched_ms = touched_ms - 3600000')
const lives = async (limit: string) => Number(await at.redis.call('pttl', limit))
const nearly = (value: number, expected: number) => {
  expect(value).toBeLessThanOrEqual(expected)
  expect(value).toBeGreaterThan(expected - SOON)
}

describe('counters of both stores, one beside the other', () => {
  const KINDS = ['fixed', 'sliding', 'token-bucket'] as const
  const AGES = [0, 0.5, 0.75, 1.25, 1.75, 2.5]
  /** Redis knows none; its clock has gone back; and as above. */
  const THERE = [undefined, -0.5, 0.25, 0.75, 1.25, 1.75, 2.5]
  const NUMBERS = [
    { ours: [2, 7], theirs: [7, 2] },
    { ours: [7, 0], theirs: [2, 9] },
    { ours: [0, 4], theirs: [0, 3] },
  ] as const

  interface Case {
    readonly name: string
    readonly algorithm: (typeof KINDS)[number]
    readonly ours: Counter
    readonly theirs: Counter | undefined
  }

  const counterOf = (algorithm: Algorithm, [a, b]: readonly [number, number], age: number): Counter => {
    if (algorithm === 'token-bucket') return { a: a * LONG, b: 0, age: age * LONG }
    return { a, b: algorithm === 'sliding' ? b : 0, age: age * LONG }
  }
  const cases = KINDS.flatMap((algorithm) =>
    AGES.flatMap((age) =>
      THERE.flatMap((there) =>
        NUMBERS.map(({ ours, theirs }): Case => {
          const name = `${algorithm} ${age} ${there} ${ours}`
          const known = there === undefined ? undefined : counterOf(algorithm, theirs, there)
          return { name, algorithm, ours: counterOf(algorithm, ours, age), theirs: known }
        }),
      ),
    ),
  )

  /** What is over has no window: whatever the other store has goes on in its own. */
  const standing = (algorithm: Algorithm, counter: Counter | undefined): Counter => {
    const { a, b, age } = counter ?? { a: 0, b: 0, age: 3 * LONG }
    const now = settled({ a, b, age: Math.max(0, age) }, { algorithm, max: MAX, perMs: LONG, cost: 0 })
    const over = algorithm === 'sliding' ? age >= 2 * LONG : age >= LONG
    return { ...now, age: algorithm === 'token-bucket' ? 0 : over ? LONG : now.age }
  }

  it('become the greater one of each, as they stand, in the younger window, for as long as it says something', async () => {
    await at.everywhere(
      `INSERT INTO spillway.limits (tenant, name, algorithm, most, per_ms, a, b, at_ms, ends_ms, touched_ms)
       SELECT $1, c.name, c.algorithm, ${MAX}, ${LONG}, c.a, c.b, now.ms - c.age, now.ms + ${LONG}, now.ms
       FROM (SELECT spillway.now_ms() AS ms) now,
         unnest($2::text[], $3::text[], $4::float8[], $5::float8[], $6::float8[]) AS c (name, algorithm, a, b, age)`,
      [
        at.tenant,
        cases.map(({ name }) => name),
        cases.map(({ algorithm }) => algorithm),
        cases.map(({ ours }) => ours.a),
        cases.map(({ ours }) => ours.b),
        cases.map(({ ours }) => ours.age),
      ],
    )
    const keys = cases.map(({ name, algorithm }) => keyOf(at.tenant, name, algorithm))
    for (const [i, { theirs }] of cases.entries()) {
      if (!theirs) continue
      const put = `local t = redis.call('TIME')
        local since = t[1] * 1000 + math.floor(t[2] / 1000) - ARGV[3]
        redis.call('SET', KEYS[1], cmsgpack.pack(tonumber(ARGV[1]), tonumber(ARGV[2]), since, ${MAX}, ${LONG}))`
      await at.redis.call('eval', put, 1, keys[i] as string, theirs.a, theirs.b, theirs.age)
    }
    await at.mark(`${ENDING + 1}:carrying:x`)
    expect(await carrying().carry(ENDING, 'rest')).toBe(cases.length)

    const look = `local t = redis.call('TIME')
      local known = redis.call('GET', KEYS[1])
      if not known then return {} end
      local a, b, since = cmsgpack.unpack(known)
      return { a, b, t[1] * 1000 + math.floor(t[2] / 1000) - since }`
    let nothing = 0
    for (const [i, { name, algorithm, ours, theirs }] of cases.entries()) {
      const [x, y] = [standing(algorithm, ours), standing(algorithm, theirs)]
      const [a, b, age] = [Math.max(x.a, y.a), Math.max(x.b, y.b), Math.min(x.age, y.age)]
      const found = (await at.redis.call('eval', look, 1, keys[i] as string)) as number[]
      if (a + b === 0) {
        // What says nothing is not written.
        if (!theirs) expect([name, found]).toEqual([name, []])
        nothing += 1
        continue
      }
      const drained = algorithm === 'token-bucket' ? MAX * SOON : 0
      const [inA = 0, inB = 0, since = 0] = found
      expect([name, inA <= a && inA >= a - drained, inB]).toEqual([name, true, b])
      expect([name, since >= age && since < age + SOON]).toEqual([name, true])
      const life = { fixed: LONG - age, sliding: 2 * LONG - age, 'token-bucket': a / MAX }[algorithm]
      const left = await lives(keys[i] as string)
      expect([name, left <= life && left > life - SOON]).toEqual([name, true])
    }
    expect(nothing).toBeGreaterThan(20)
    expect(nothing).toBeLessThan(cases.length / 2)
  })
})

describe('entries', () => {
  const entries = (name: string, algorithm: 'sliding-log' | 'concurrency') =>
    keyOf(at.tenant, name, algorithm)

  it('of a log that are over in Redis are not counted for those that PostgreSQL has', async () => {
    await at.count(at.take('log', { algorithm: 'sliding-log', cost: 4 }))
    const log = entries('log', 'sliding-log')
    for (const old of ['a:1', 'a:2', 'a:3']) await at.redis.call('zadd', log, Date.now() - 1000, old)
    await at.mark(`${ENDING + 1}:carrying:x`)
    await carrying().carry(ENDING, 'rest')
    expect((await at.one(at.onRedis, 'log'))?.used).toBe(4)
    nearly(await lives(log), LONG)
  })

  it('of a log that are over in PostgreSQL are not brought', async () => {
    const log = { algorithm: 'sliding-log' } as const
    await at.count(at.take('log', { ...log, cost: 3 }, 'over'), at.take('log', { ...log, cost: 2 }, 'live'))
    await at.everywhere(`UPDATE spillway.limit_entries SET ends_ms = spillway.now_ms() WHERE id = 'over'`)
    await at.count(at.take('window'))
    await at.everywhere(`UPDATE spillway.limits SET ends_ms = spillway.now_ms() WHERE name = 'window'`)
    await at.mark(`${ENDING + 1}:carrying:x`)
    expect(await carrying().carry(ENDING, 'rest')).toBe(1)
    expect((await at.one(at.onRedis, 'log'))?.used).toBe(2)
  })

  it('of leases are those of PostgreSQL and no others, and the key lives as long as the last of them', async () => {
    const jobs = { algorithm: 'concurrency' } as const
    await at.mark('0:open:x')
    // The second one was released while PostgreSQL reigned, and all of the other limit.
    await at.onRedis.take(
      [at.take('jobs', jobs, 'a-long'), at.take('jobs', jobs, 'gone'), at.take('free', jobs, 'also-gone')],
      reign('redis', 0),
    )
    await at.count(
      at.take('jobs', jobs, 'a-long'),
      at.take('jobs', { ...jobs, perMs: LONG / 2, cost: 2 }, 'b-short'),
      at.take('jobs', jobs, 'over'),
      at.take('free', jobs, 'brief'),
      at.take('swept', jobs, 'swept'),
    )
    await at.everywhere(
      `UPDATE spillway.limit_entries SET ends_ms = spillway.now_ms() WHERE id IN ('over', 'brief', 'swept')`,
    )
    await at.everywhere(`UPDATE spillway.limits SET ends_ms = spillway.now_ms() WHERE name = 'swept'`)
    await at.mark(`${ENDING + 1}:carrying:x`)
    // A row for each of two limits, and one for each of two leases.
    expect(await carrying().carry(ENDING, 'rest')).toBe(4)
    expect(await at.used(at.onRedis)).toEqual({ 'concurrency jobs': 3 })
    nearly(await lives(entries('jobs', 'concurrency')), LONG)
    await at.mark('2:open:x')
    const release = (id: string) =>
      at.onRedis.release([{ id, tenant: at.tenant, names: ['jobs'] }], reign('redis', 2))
    expect([await release('gone'), await release('over'), await release('b-short')]).toEqual([0, 0, 1])
  })
})

describe('the first part of a carry-over', () => {
  it('is not believed to have what was under way as it read', async () => {
    const carry = carrying()
    await at.count(at.take('n', { cost: 3 }))
    await at.db.scoped('all', async (tx) => {
      await tx.query(`UPDATE spillway.limits SET a = a + 2, touched_ms = spillway.now_ms()`)
      await eventually(
        async () => {
          const [row] = await tx.query<{ later: boolean }>(
            'SELECT touched_ms < spillway.now_ms() AS later FROM spillway.limits',
          )
          return row?.later
        },
        { what: 'a ms later', everyMs: 1 },
      )
      await carry.carry(ENDING, 'bulk')
    })
    expect((await at.one(at.onRedis, 'n'))?.used).toBe(3)
    await carry.carry(ENDING, 'rest')
    expect((await at.one(at.onRedis, 'n'))?.used).toBe(5)
  })

  it('is not believed where any bucket has lost it, or has what it had before', async () => {
    const carry = carrying()
    await at.count(at.take('n', { cost: 4 }))
    await carry.carry(ENDING, 'bulk')
    await long()
    const witness = key('rate_limit:carried', { bucket: BUCKETS[3] ?? '' })
    const limit = keyOf(at.tenant, 'n', 'fixed')
    const older = String(await at.redis.call('get', witness))
    await at.redis.call('del', witness, limit)
    await carry.carry(ENDING, 'rest')
    expect((await at.one(at.onRedis, 'n'))?.used).toBe(4)

    await carry.carry(ENDING, 'bulk')
    await at.redis.call('del', limit)
    await at.redis.call('set', witness, older)
    await carry.carry(ENDING, 'rest')
    expect((await at.one(at.onRedis, 'n'))?.used).toBe(4)
  })

  it('is not believed for another turn: it may have been refused then', async () => {
    const carry = carrying()
    await at.count(at.take('n', { cost: 4 }))
    await at.mark(`${ENDING + 1}:open:x`)
    await carry.carry(ENDING, 'bulk')
    expect(await at.one(at.onRedis, 'n')).toBeUndefined()
    await long()
    await at.mark(`${ENDING + 3}:carrying:x`)
    await carry.carry(ENDING + 2, 'rest')
    expect((await at.one(at.onRedis, 'n'))?.used).toBe(4)
  })
})

describe('a Redis that is exchanged while it is carried to', () => {
  it('is sent nothing more: who has carried begins anew', async () => {
    await at.count(
      ...Array.from({ length: 200 }, (_, i) => at.take(`user:${i}`)),
      at.take('jobs', { algorithm: 'concurrency' }),
    )
    let scripts = 0
    const exchanged = new Proxy(at.redis, {
      get: (client, name) => {
        const value: unknown = Reflect.get(client, name, client)
        if (typeof value !== 'function') return value
        return async (...given: unknown[]): Promise<Reply> => {
          // The first script has the counters of one bucket; those of leases come last.
          if (name === 'run' && ++scripts === 2) {
            const { identity } = client
            await at.server.kill()
            await at.server.start('empty')
            await eventually(() => client.usable && client.identity !== identity, { what: 'another server' })
          }
          return value.apply(client, given)
        }
      },
    })
    await expect(carrying(exchanged).carry(ENDING, 'rest')).rejects.toMatchObject({
      code: 'STORE_UNAVAILABLE',
    })
    expect(await at.used(at.onRedis)).toEqual({})
    await carrying().carry(ENDING, 'rest')
    expect(Object.keys(await at.used(at.onRedis))).toHaveLength(201)
  })
})
