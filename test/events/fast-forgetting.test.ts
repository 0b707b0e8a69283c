import { afterAll, beforeAll, beforeEach, describe, expect, it, vi } from 'vitest'
import { FastCarry } from '../../src/events/carry.js'
import { FastLog } from '../../src/events/fast.js'
import { Kinds, LEAP } from '../../src/events/kinds.js'
import { PostgresLog } from '../../src/events/postgres.js'
import { RedisLog } from '../../src/events/redis.js'
import { Upkeep } from '../../src/events/upkeep.js'
import { migrate } from '../../src/postgres/migrate.js'
import { ServerDatabase } from '../../src/postgres/server.js'
import type { RedisClient } from '../../src/redis/client.js'
import { PostgresStates } from '../../src/state/postgres.js'
import type { FlowRef } from '../../src/tenant.js'
import { FixedTerm } from '../../src/term/fixed.js'
import type { StoreName } from '../../src/term/term.js'
import { openClient } from '../redis/open.js'
import { freshDatabase } from '../support/database.js'
import { eventually } from '../support/eventually.js'
import type { FreshDatabase } from '../support/postgres.js'
import { type RedisServer, startRedis } from '../support/redis.js'
import { reignOf } from '../term/reign.js'
import { draft, eventOf, newBatch, seqsOf, someFlow } from './drafts.js'
import { Reader } from './resuming.js'

const HOUR = 3_600_000
/** What an event lives on PostgreSQL, and in Redis, where it is so short that a test sees it go. */
const NOW = { maxEvents: 10_000, maxAgeMs: 0, flowAgeMs: 0 }
const SILENCE_MS = 20

describe('fast flows that nobody speaks of any more', () => {
  let server: RedisServer
  let redis: RedisClient
  let fresh: FreshDatabase
  let database: ServerDatabase
  let postgres: PostgresLog
  beforeAll(async () => {
    server = await startRedis()
    redis = openClient(server.url, {}, { commandTimeoutMs: 5000 })
    await redis.ready(5000)
    fresh = await freshDatabase()
    database = new ServerDatabase({ url: fresh.url, listenUrl: null, poolSize: 2 })
    await migrate(database)
    postgres = new PostgresLog(database)
  })
  afterAll(async () => {
    redis?.close()
    await server?.remove()
    await database?.close()
    await fresh?.drop()
  })

  beforeEach(() => redis.call('flushall'))

  const turn = (number: number, store: StoreName) =>
    database.query('UPDATE spillway.term SET number = $1, store = $2', [number, store])

  /** An instance under a reign. */
  const join = (number: number, store: StoreName, silenceMs = SILENCE_MS, kinds = new Kinds(database)) => {
    // Reports when it is told to.
    kinds.close()
    const term = new FixedTerm(reignOf(number, { store }))
    const onRedis = new RedisLog({ redis, term, maxEvents: 10_000, silenceMs, beginnings: kinds })
    const log = new FastLog({ term, redis: onRedis, postgres, beginnings: kinds })
    const publish = async (ref: FlowRef) =>
      eventOf((await log.append([draft(ref, { durability: 'fast' })], newBatch()))[0])
    const report = () => database.scoped('all', (tx) => kinds.report(tx, number))
    return { kinds, log, publish, report }
  }

  const counts = async () => {
    const [row] = await database.scoped('all', (tx) =>
      tx.query<{ flows: number; heads: number; states: number }>(
        `SELECT (SELECT count(*)::integer FROM spillway.flows) AS flows,
           (SELECT count(*)::integer FROM spillway.heads) AS heads,
           (SELECT count(*)::integer FROM spillway.flow_states) AS states`,
      ),
    )
    return row
  }
  const age = (ms: number) =>
    database.scoped('all', (tx) =>
      tx.query(`UPDATE spillway.heads SET heard_at = heard_at - $1 * interval '1 millisecond'`, [ms]),
    )
  /** Forgets whatever is old enough, in both stores. */
  const forget = async () => {
    await eventually(async () => (await redis.call('dbsize')) === 0, { what: 'Redis has nothing any more' })
    const forgotten = await postgres.forget(NOW, 1000)
    await new PostgresStates(database).forget(0, 1000)
    return forgotten
  }
  const life = async () => {
    const [row] = await database.query<{ term: number }>('SELECT term FROM spillway.log_life')
    return row?.term
  }
  const readFrom = (log: FastLog, ref: FlowRef, term: number, seq: number) =>
    new Reader(log, ref, { term, seq }).look()

  it('leave nothing behind, in neither store, and those that live stay', async () => {
    await turn(2, 'redis')
    const { publish, report } = join(2, 'redis')
    const [kept, ...others] = Array.from({ length: 30 }, () => someFlow())
    for (const ref of [kept as FlowRef, ...others]) await publish(ref)
    await report()
    expect(await counts()).toEqual({ flows: 30, heads: 30, states: 30 })
    const before = await life()
    expect(await forget()).toBe(0)
    await age(HOUR)
    const late = join(2, 'redis')
    await late.publish(kept as FlowRef)
    await late.report()
    expect(await forget()).toBe(29)
    expect(await counts()).toEqual({ flows: 1, heads: 1, states: 1 })
    // No event of a durable flow has gone: its readers have nothing to be told.
    expect(await life()).toBe(before)
    await age(HOUR)
    expect(await forget()).toBe(1)
    expect(await counts()).toEqual({ flows: 0, heads: 0, states: 0 })
  })

  it('go in one sweep, however many they are', async () => {
    await turn(2, 'redis')
    const { kinds } = join(2, 'redis')
    await Promise.all(Array.from({ length: 450 }, () => kinds.start(someFlow(), 2)))
    await age(HOUR)
    vi.useFakeTimers({ toFake: ['setInterval', 'clearInterval'] })
    try {
      const beside = [new PostgresStates(database)]
      const upkeep = new Upkeep({ log: postgres, beside }, { ...NOW, maxAgeMs: 1 })
      upkeep.start()
      await vi.advanceTimersByTimeAsync(10_000)
      await eventually(async () => (await counts())?.states === 0)
      await upkeep.close()
      expect(await counts()).toEqual({ flows: 0, heads: 0, states: 0 })
    } finally {
      vi.useRealTimers()
    }
  })

  it('stay for as long as Redis may have something of them', async () => {
    await turn(2, 'redis')
    const { publish, report } = join(2, 'redis')
    await publish(someFlow())
    await report()
    await age(HOUR)
    expect(await postgres.forget({ ...NOW, maxAgeMs: HOUR }, 100)).toBe(0)
    await age(HOUR + 120_000)
    expect(await postgres.forget({ ...NOW, maxAgeMs: HOUR }, 100)).toBe(1)
  })

  it.each([
    ['by an instance that knew it', false],
    ['by one that did not', true],
  ])('begin again in the same reign on Redis, %s, behind all that they were given', async (_, other) => {
    await turn(4, 'redis')
    const ref = someFlow()
    const one = join(4, 'redis')
    const last = await one.publish(ref)
    await one.report()
    await age(HOUR)
    await forget()
    const { publish, log } = join(4, 'redis', HOUR, other ? undefined : one.kinds)
    const next = await publish(ref)
    expect(next).toMatchObject({ term: 4 })
    expect(next.seq).toBeGreaterThanOrEqual(last.seq + LEAP)
    const anew = await readFrom(log, ref, 4, 0)
    expect([anew.gaps, anew.events]).toEqual([[], [next]])
    const old = await readFrom(log, ref, 4, last.seq)
    expect(old.gaps).toEqual([{ from: `4-${last.seq + 1}`, to: `4-${next.seq - 1}`, reason: 'lost' }])
    expect(old.events).toEqual([next])
  })

  it('begin again in the same reign on PostgreSQL, and are the same to readers when they go to Redis', async () => {
    await turn(5, 'postgres')
    const ref = someFlow()
    const { publish, log } = join(5, 'postgres')
    const last = await publish(ref)
    await postgres.trim([ref], { ...NOW, maxEvents: 0 })
    expect(await forget()).toBe(1)
    const next = await publish(ref)
    expect(next.seq).toBeGreaterThan(last.seq)
    const told = async (log: FastLog) => {
      const anew = await readFrom(log, ref, 5, 0)
      expect([anew.gaps, anew.events]).toEqual([[], [next]])
      const old = await readFrom(log, ref, 5, last.seq)
      expect(old.gaps).toEqual([{ from: `5-${last.seq + 1}`, to: `5-${next.seq - 1}`, reason: 'lost' }])
      expect(old.events).toEqual([next])
    }
    await told(log)
    const kinds = new Kinds(database)
    await new FastCarry({ database, redis, kinds, maxEvents: 10_000, silenceMs: HOUR }).carry(5)
    await turn(6, 'redis')
    await told(join(6, 'redis', HOUR).log)
    // And back, with what Redis counted.
    await join(6, 'redis', HOUR).publish(ref)
    await turn(7, 'postgres')
    await join(7, 'postgres').publish(ref)
    const anew = await readFrom(join(7, 'postgres').log, ref, 5, 0)
    expect(anew.gaps.map(({ reason }) => reason)).toEqual(['turn'])
  })

  it('begin with 1 in a later reign, whose ids are others', async () => {
    await turn(8, 'redis')
    const ref = someFlow()
    const { publish, report } = join(8, 'redis')
    const last = await publish(ref)
    await report()
    await age(HOUR)
    await forget()
    await turn(9, 'redis')
    const { log } = join(9, 'redis', HOUR)
    expect(seqsOf(await log.append([draft(ref, { durability: 'fast' })], newBatch()))).toEqual([1])
    const { gaps } = await readFrom(log, ref, 8, last.seq)
    expect(gaps).toEqual([{ from: `8-1`, to: `8-${last.seq}`, reason: 'lost' }])
  })

  it('may come to be as another kind, which whoever knew them is told', async () => {
    await turn(10, 'redis')
    const ref = someFlow()
    const { publish, report } = join(10, 'redis')
    await publish(ref)
    await report()
    await age(HOUR)
    await forget()
    await postgres.append([draft(ref)], newBatch())
    await expect(publish(ref)).rejects.toThrow(
      expect.objectContaining({ cause: expect.objectContaining({ code: 'DURABILITY_FIXED' }) }),
    )
  })
})
