import fc from 'fast-check'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { type Beginnings, ByTheClock } from '../../src/events/beginnings.js'
import { FastLog } from '../../src/events/fast.js'
import { Kinds, LEAP } from '../../src/events/kinds.js'
import { RedisLog } from '../../src/events/redis.js'
import { migrate } from '../../src/postgres/migrate.js'
import { ServerDatabase } from '../../src/postgres/server.js'
import type { RedisClient } from '../../src/redis/client.js'
import { key } from '../../src/redis/keys.js'
import type { FlowRef } from '../../src/tenant.js'
import { FixedTerm } from '../../src/term/fixed.js'
import { openClient } from '../redis/open.js'
import { freshDatabase } from '../support/database.js'
import type { FreshDatabase } from '../support/postgres.js'
import { type RedisServer, startRedis } from '../support/redis.js'
import { reignOf } from '../term/reign.js'
import { draft, eventOf, newBatch, numbered, seqsOf, someFlow } from './drafts.js'
import { Reader, seqOf } from './resuming.js'

const REIGN = 2
const SILENCE_MS = 60_000
const KINDS_OF_KEY = ['flow:events', 'flow:log', 'flow:keys'] as const

let server: RedisServer
let redis: RedisClient
let fresh: FreshDatabase
let database: ServerDatabase
beforeAll(async () => {
  server = await startRedis()
  // Beside other tests PostgreSQL takes its time, and a flow waits for it as long as for Redis.
  redis = openClient(server.url, {}, { commandTimeoutMs: 5000 })
  await redis.ready(5000)
  fresh = await freshDatabase()
  database = new ServerDatabase({ url: fresh.url, listenUrl: null, poolSize: 2 })
  await migrate(database)
  await database.query(`UPDATE spillway.term SET number = ${REIGN}, store = 'redis'`)
})
afterAll(async () => {
  redis?.close()
  await server?.remove()
  await database?.close()
  await fresh?.drop()
})

/** What one instance has of a reign on Redis. */
function instance(beginnings: Beginnings): FastLog {
  const term = new FixedTerm(reignOf(REIGN))
  const onRedis = new RedisLog({ redis, term, maxEvents: 1000, silenceMs: SILENCE_MS, beginnings })
  return new FastLog({ term, redis: onRedis, postgres: undefined, beginnings })
}

const lose = (ref: FlowRef, ...names: (typeof KINDS_OF_KEY)[number][]) =>
  redis.call('del', ...names.map((name) => key(name, ref)))

const fast = (ref: FlowRef, count = 1) =>
  numbered(ref, count).map((one) => ({ ...one, durability: 'fast' as const }))

const STEP = fc.oneof(
  fc.record({ publish: fc.integer({ min: 1, max: 3 }), by: fc.nat(1) }),
  fc.record({ lose: fc.subarray([...KINDS_OF_KEY], { minLength: 1 }) }),
  fc.record({ look: fc.nat(1) }),
)

describe.each([
  ['beside PostgreSQL', () => new Kinds(database)],
  ['alone', () => new ByTheClock()],
] as const)('a fast flow whose keys vanish while Redis %s reigns', (where, remember) => {
  let kinds: (Kinds | ByTheClock)[]
  let logs: [FastLog, FastLog]
  beforeEach(() => {
    kinds = [remember(), remember()]
    logs = kinds.map(instance) as [FastLog, FastLog]
  })
  afterEach(() => {
    for (const one of kinds) if (one instanceof Kinds) one.close()
  })

  it('gives no number twice or back, and every reader has each event or is told', async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(STEP, { minLength: 1, maxLength: 12 }), async (steps) => {
        const ref = someFlow()
        const given: number[] = []
        const publish = async (by: number, count: number) =>
          given.push(...seqsOf(await (logs[by] as FastLog).append(fast(ref, count), newBatch())))
        await publish(0, 1)
        await publish(1, 1)
        const first = given[0] as number
        const readers = [1, 2].map(() => new Reader(logs[0], ref, { term: REIGN, seq: first }))
        for (const step of steps) {
          if ('publish' in step) await publish(step.by, step.publish)
          else if ('lose' in step) await lose(ref, ...step.lose)
          else await readers[step.look]?.look()
        }
        await publish(0, 1)
        expect(given).toEqual([...new Set(given)].sort((x, y) => x - y))
        for (const reader of readers) {
          await reader.look()
          const had = reader.events.map(({ seq }) => seq)
          const told = (seq: number) =>
            reader.gaps.some(({ from, to }) => seqOf(from) <= seq && seq <= seqOf(to))
          expect(had).toEqual(given.slice(1).filter((seq) => !told(seq)))
          expect(reader.gaps.map(({ reason }) => reason)).not.toContain('unknown')
          expect(reader.gaps.map(({ reason }) => reason)).not.toContain('trimmed')
        }
      }),
      { numRuns: 40 },
    )
  })

  it('says that it is lost, and not that retention took it: the stream', async () => {
    const ref = someFlow()
    const [log] = logs
    const [first = 0, , last = 0] = seqsOf(await log.append(fast(ref, 3), newBatch()))
    const reader = new Reader(log, ref, { term: REIGN, seq: first })
    await lose(ref, 'flow:events')
    const gap = { from: `2-${first + 1}`, to: `2-${last}`, reason: 'lost' }
    expect((await reader.look()).gaps).toEqual([gap])
    const next = eventOf((await log.append(fast(ref), newBatch()))[0])
    expect(next.seq).toBe(last + 1)
    expect((await reader.look()).gaps).toEqual([gap])
    expect(reader.events).toEqual([next])
    const late = await new Reader(log, ref, { term: REIGN, seq: first }).look()
    expect([late.gaps, late.events]).toEqual([[gap], [next]])
  })

  it.each([
    ['the head', ['flow:log']],
    ['head and stream', ['flow:log', 'flow:events']],
  ] as const)('says that it is lost, also to who stood at its beginning: %s', async (_, names) => {
    const ref = someFlow()
    const [log] = logs
    const [first = 0, last = 0] = seqsOf(await log.append(fast(ref, 2), newBatch()))
    await lose(ref, ...names)
    const next = eventOf((await log.append(fast(ref), newBatch()))[0])
    expect(next.seq).toBeGreaterThan(last)
    for (const seq of [0, first]) {
      const { gaps, events } = await new Reader(log, ref, { term: REIGN, seq }).look()
      expect(gaps).toEqual([{ from: `2-${seq + 1}`, to: `2-${next.seq - 1}`, reason: 'lost' }])
      expect(events).toEqual([next])
    }
  })

  it('leaves no key without an end, whichever was lost, and none that a key of an event makes late', async () => {
    const ref = someFlow()
    const [log] = logs
    await log.append(fast(ref), newBatch())
    await log.append([{ ...draft(ref), durability: 'fast', key: 'k' }], newBatch())
    const lives = () => Promise.all(KINDS_OF_KEY.map((name) => redis.call('pttl', key(name, ref))))
    expect(await lives()).not.toContain(-1)
    for (const name of KINDS_OF_KEY) {
      await lose(ref, name)
      await log.append([{ ...draft(ref), durability: 'fast', key: name }], newBatch())
      expect(await lives()).not.toContain(-1)
    }
  })

  it('gives no number again where a copy came back that is older than what the instance has seen', async () => {
    const ref = someFlow()
    const [log] = logs
    await log.append(fast(ref), newBatch())
    const ttl = String(SILENCE_MS)
    const older = Object.entries((await redis.call('hgetall', key('flow:log', ref))) ?? {}).flat()
    const [first = 0, last = 0] = seqsOf(await log.append(fast(ref, 2), newBatch()))
    await lose(ref, ...KINDS_OF_KEY)
    await redis.call('hset', key('flow:log', ref), ...older)
    await redis.call('pexpire', key('flow:log', ref), ttl)
    const next = eventOf((await log.append(fast(ref), newBatch()))[0])
    expect(next.seq).toBeGreaterThan(last)
    const { gaps, events } = await new Reader(log, ref, { term: REIGN, seq: first }).look()
    expect(gaps).toEqual([{ from: `2-${first + 1}`, to: `2-${next.seq - 1}`, reason: 'lost' }])
    expect(events).toEqual([next])
  })

  it('goes on, under numbers of its own, where an instance that knew nothing of it finds it gone', async () => {
    const ref = someFlow()
    const [last = 0] = seqsOf(await logs[0].append(fast(ref), newBatch()))
    await lose(ref, 'flow:log', 'flow:events')
    const [next = 0] = seqsOf(await logs[1].append(fast(ref), newBatch()))
    const [behind = 0] = seqsOf(await logs[0].append(fast(ref), newBatch()))
    expect(next).toBeGreaterThan(last)
    expect(behind).toBe(next + 1)
    if (where === 'beside PostgreSQL') expect(next).toBe(LEAP + 1)
  })
})

describe('a fast flow that two instances begin at once', () => {
  it('begins with 1, once', async () => {
    const both = [new Kinds(database), new Kinds(database)]
    const logs = both.map(instance)
    const refs = Array.from({ length: 20 }, () => someFlow())
    for (const ref of refs) {
      const outcomes = await Promise.all(logs.map((log) => log.append(fast(ref), newBatch())))
      expect(outcomes.flatMap(seqsOf).sort()).toEqual([1, 2])
    }
    for (const kinds of both) kinds.close()
  })

  it('is waited for by who has no leave, while the other one is on its way', async () => {
    const [first, second] = [new Kinds(database), new Kinds(database)]
    const ref = someFlow()
    const leave = await first.start(ref, REIGN)
    let tries = 0
    let again = 0
    const waiting = instance({
      start: async (...asked) => {
        tries += 1
        if (tries === 2) {
          first.unused(ref, REIGN, leave)
          await instance(first).append(fast(ref), newBatch())
        }
        return second.start(...asked)
      },
      unused: (...all) => second.unused(...all),
      again: (...all) => {
        again += 1
        return second.again(...all)
      },
      counted: (...all) => second.counted(...all),
    })
    expect(seqsOf(await waiting.append(fast(ref), newBatch()))).toEqual([2])
    expect([tries, again]).toEqual([2, 0])
    for (const kinds of [first, second]) kinds.close()
  })

  it('begins with 1 also where Redis refused the first try for its term', async () => {
    const kinds = new Kinds(database)
    const ref = someFlow()
    const term = new FixedTerm(reignOf(REIGN))
    const log = new RedisLog({ redis, term, maxEvents: 1000, silenceMs: SILENCE_MS, beginnings: kinds })
    const closed = { ...reignOf(REIGN), marker: 'term:marker:{b00}', sign: 'not yet open' }
    await expect(log.appendIn(closed, fast(ref), newBatch())).rejects.toMatchObject({ code: 'TERM_UNKNOWN' })
    expect(seqsOf(await log.append(fast(ref), newBatch()))).toEqual([1])
    kinds.close()
  })

  it('begins with 1 also where the first try did not reach Redis', async () => {
    const kinds = new Kinds(database)
    const ref = someFlow()
    const gone = openClient(server.url)
    const term = new FixedTerm(reignOf(REIGN))
    const options = { term, maxEvents: 1000, silenceMs: SILENCE_MS, beginnings: kinds }
    gone.close()
    await expect(new RedisLog({ redis: gone, ...options }).append(fast(ref), newBatch())).rejects.toThrow()
    expect(seqsOf(await new RedisLog({ redis, ...options }).append(fast(ref), newBatch()))).toEqual([1])
    kinds.close()
  })
})
