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
import { startRedisCluster } from '../support/redis-cluster.js'
import { limitConformance } from './limits.conformance.js'
import { clockedPostgres, clockedRedis } from './stores.js'

limitConformance('Redis', async () => {
  const server = await startRedis()
  const redis = openClient(server.url, {}, { commandTimeoutMs: 5000 })
  return clockedRedis(redis, async () => {
    redis.close()
    await server.remove()
  })
})

limitConformance('Redis, with one marker for all', async () => {
  const server = await startRedis()
  const redis = openClient(server.url, {}, { commandTimeoutMs: 5000 })
  const clocked = await clockedRedis(redis, async () => {
    redis.close()
    await server.remove()
  })
  return { ...clocked, reign: { ...clocked.reign, marker: key('term:marker', { bucket: BUCKETS[0] ?? '' }) } }
})

limitConformance('a Redis Cluster', async () => {
  const cluster = await startRedisCluster()
  const redis = openClient(cluster.url, {}, { commandTimeoutMs: 5000 })
  return clockedRedis(redis, async () => {
    redis.close()
    await cluster.remove()
  })
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
