import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { FastCarry } from '../../src/events/carry.js'
import { Kinds } from '../../src/events/kinds.js'
import { PostgresLog } from '../../src/events/postgres.js'
import { migrate } from '../../src/postgres/migrate.js'
import { ServerDatabase } from '../../src/postgres/server.js'
import type { RedisClient } from '../../src/redis/client.js'
import { key } from '../../src/redis/keys.js'
import type { FlowRef } from '../../src/tenant.js'
import { openClient } from '../redis/open.js'
import { freshDatabase } from '../support/database.js'
import { eventually } from '../support/eventually.js'
import type { FreshDatabase } from '../support/postgres.js'
import { type RedisServer, startRedis } from '../support/redis.js'
import { newBatch, numbered, seqsOf, someFlow } from './drafts.js'

describe('what PostgreSQL took of fast flows, carried to Redis in two parts', () => {
  const REIGN = 5
  let server: RedisServer
  let redis: RedisClient
  let fresh: FreshDatabase
  let database: ServerDatabase
  let log: PostgresLog
  let carry: FastCarry
  beforeAll(async () => {
    server = await startRedis()
    redis = openClient(server.url)
    await redis.ready(5000)
    fresh = await freshDatabase()
    database = new ServerDatabase({ url: fresh.url, listenUrl: null, poolSize: 2 })
    await migrate(database)
    log = new PostgresLog(database)
  })
  afterAll(async () => {
    redis?.close()
    await server?.remove()
    await database?.close()
    await fresh?.drop()
  })
  const newCarry = () =>
    new FastCarry({ database, redis, kinds: new Kinds(database), maxEvents: 10_000, silenceMs: 1e9 })
  beforeEach(async () => {
    await database.query('UPDATE spillway.term SET number = $1', [REIGN])
    carry = newCarry()
  })

  const take = async (ref: FlowRef, count: number, reign = REIGN) => {
    const drafts = numbered(ref, count).map((draft) => ({ ...draft, durability: 'fast' as const }))
    return seqsOf(await log.appendIn(reign, drafts, newBatch()))
  }
  const onRedis = async (ref: FlowRef) => {
    const entries = await redis.call('XRANGE', key('flow:events', ref), '-', '+')
    return (entries as [string][]).map(([id]) => id)
  }
  const ids = (count: number) => Array.from({ length: count }, (_, i) => `${REIGN}-${i + 1}`)

  it('is there once, in its order', async () => {
    const ref = someFlow()
    await take(ref, 600)
    await carry.carry(REIGN)
    await take(ref, 3)
    await carry.carry(REIGN)
    expect(await onRedis(ref)).toEqual(ids(603))
  })

  it('is of all reigns since the last one on Redis, each under its own term', async () => {
    const [ref, silent] = [someFlow(), someFlow()]
    await take(ref, 3)
    await take(silent, 2)
    await database.query('UPDATE spillway.term SET number = $1', [REIGN + 1])
    await take(ref, 2, REIGN + 1)
    await carry.carry(REIGN + 1)
    expect(await onRedis(ref)).toEqual([...ids(3), `${REIGN + 1}-4`, `${REIGN + 1}-5`])
    expect(await onRedis(silent)).toEqual(ids(2))
    // Redis knows exactly how far it is: nothing is leapt over.
    for (const flow of [ref, silent])
      expect(await redis.call('HGET', key('flow:log', flow), 'carried')).toBe(String(REIGN + 1))
    // That return fails, and the next one finds what the last has left.
    await database.query('UPDATE spillway.term SET number = $1', [REIGN + 2])
    await take(ref, 1, REIGN + 2)
    await newCarry().carry(REIGN + 2)
    expect(await onRedis(ref)).toEqual([...ids(3), `${REIGN + 1}-4`, `${REIGN + 1}-5`, `${REIGN + 2}-6`])
    for (const flow of [ref, silent])
      expect(await redis.call('HGET', key('flow:log', flow), 'carried')).toBe(String(REIGN + 2))
  })

  it.each([
    ['was emptied', () => redis.call('FLUSHALL')],
    [
      'was started again empty',
      async () => {
        const { identity } = redis
        await server.kill()
        await server.start('empty')
        await eventually(() => redis.usable && redis.identity !== identity, { what: 'the other server' })
      },
    ],
  ])('goes once more to a Redis that %s after the first part', async (_, happen) => {
    const [ref, silent] = [someFlow(), someFlow()]
    await take(ref, 600)
    await take(silent, 2)
    await carry.carry(REIGN)
    await happen()
    await take(ref, 3)
    await carry.carry(REIGN)
    expect(await onRedis(ref)).toEqual(ids(603))
    expect(await onRedis(silent)).toEqual(ids(2))
  })
})
