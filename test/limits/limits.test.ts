import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { EmbeddedDatabase } from '../../src/postgres/embedded.js'
import { ServerDatabase } from '../../src/postgres/server.js'
import { BUCKETS, key } from '../../src/redis/keys.js'
import { openClient } from '../redis/open.js'
import { freshDatabase } from '../support/database.js'
import { startPgBouncer } from '../support/pgbouncer.js'
import { startRedis } from '../support/redis.js'
import { REDIS_KINDS } from '../support/redis-kinds.js'
import { limitConformance } from './limits.conformance.js'
import { clockedPostgres, clockedRedis } from './stores.js'

for (const [kind, start] of Object.entries(REDIS_KINDS)) {
  limitConformance(`Redis (${kind})`, async () => {
    const servers = await start()
    const redis = openClient(servers.url, {}, { commandTimeoutMs: 5000 })
    return clockedRedis(redis, async () => {
      redis.close()
      await servers.remove()
    })
  })
}

limitConformance('Redis, with one marker for all', async () => {
  const server = await startRedis()
  const redis = openClient(server.url, {}, { commandTimeoutMs: 5000 })
  const clocked = await clockedRedis(redis, async () => {
    redis.close()
    await server.remove()
  })
  return { ...clocked, reign: { ...clocked.reign, marker: key('term:marker', { bucket: BUCKETS[0] ?? '' }) } }
})

limitConformance('PostgreSQL', async () => {
  const fresh = await freshDatabase()
  const database = new ServerDatabase({ url: fresh.url, listenUrl: null, poolSize: 4 })
  return clockedPostgres(database, async () => {
    await database.close()
    await fresh.drop()
  })
})

limitConformance('PostgreSQL behind PgBouncer in transaction mode', async () => {
  const fresh = await freshDatabase()
  const pooler = await startPgBouncer(fresh.url)
  const database = new ServerDatabase({ url: pooler.url, listenUrl: null, poolSize: 4 })
  return clockedPostgres(database, async () => {
    await database.close()
    await pooler.remove()
    await fresh.drop()
  })
})

limitConformance('PGlite', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'spillway-limits-'))
  const database = await EmbeddedDatabase.open(folder)
  return clockedPostgres(database, async () => {
    await database.close()
    await rm(folder, { recursive: true })
  })
})
