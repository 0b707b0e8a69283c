import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { FastLog } from '../../src/events/fast.js'
import { Kinds } from '../../src/events/kinds.js'
import { PostgresLog } from '../../src/events/postgres.js'
import { RedisLog } from '../../src/events/redis.js'
import { migrate } from '../../src/postgres/migrate.js'
import { ServerDatabase } from '../../src/postgres/server.js'
import type { RedisClient } from '../../src/redis/client.js'
import type { Reign, StoreName, Term } from '../../src/term/term.js'
import { openClient } from '../redis/open.js'
import { freshDatabase } from '../support/database.js'
import type { FreshDatabase } from '../support/postgres.js'
import { type RedisServer, startRedis } from '../support/redis.js'
import { reignOf } from '../term/reign.js'
import { draft, newBatch, readAll, someFlow } from './drafts.js'

describe('fast flows on the store that reigns', () => {
  let server: RedisServer
  let redis: RedisClient
  let fresh: FreshDatabase
  let database: ServerDatabase
  let kinds: Kinds
  let onRedis: RedisLog
  let log: FastLog
  let reign: Reign
  /** A term that turns when it is told to. */
  const term: Term = {
    get reign() {
      return reign
    },
    get last() {
      return reign
    },
    operate: (run) => run(reign),
    onChange: () => () => undefined,
    join: () => undefined,
  }
  beforeAll(async () => {
    server = await startRedis()
    redis = openClient(server.url)
    await redis.ready(5000)
    fresh = await freshDatabase()
    database = new ServerDatabase({ url: fresh.url, listenUrl: null, poolSize: 2 })
    await migrate(database)
    kinds = new Kinds(database)
    onRedis = new RedisLog({ redis, maxEvents: 10_000, silenceMs: 1e9, term, beginnings: kinds })
    log = new FastLog({ term, redis: onRedis, postgres: new PostgresLog(database), beginnings: kinds })
  })
  afterAll(async () => {
    kinds?.close()
    redis?.close()
    await server?.remove()
    await database?.close()
    await fresh?.drop()
  })

  const turn = async (number: number, store: StoreName) => {
    await database.query('UPDATE spillway.term SET number = $1, store = $2', [number, store])
    reign = reignOf(number, { store })
  }

  it('never store on the next one what a part of a batch may have on the last', async () => {
    const [taken, ahead] = [someFlow(), someFlow()]
    await turn(4, 'redis')
    await log.append([draft(ahead, { durability: 'fast' })], newBatch())
    await turn(2, 'redis')
    const drafts = [taken, ahead].map((ref) => draft(ref, { durability: 'fast' }))
    const batch = newBatch()
    // Redis refuses the second flow, which has seen a later reign; the first has its event.
    await expect(log.append(drafts, batch)).rejects.toMatchObject({ code: 'TERM_UNKNOWN' })
    expect(await readAll(onRedis, taken)).toHaveLength(1)
    await turn(3, 'postgres')
    await expect(log.append(drafts, { ...batch, repeat: true })).rejects.toMatchObject({
      code: 'OUTCOME_UNKNOWN',
    })
    expect(await readAll(log, taken)).toHaveLength(0)
  })
})
