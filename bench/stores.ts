import type { Spillway } from 'spillway'
import { eventually } from '../test/support/eventually.js'
import { type FreshDatabase, startPostgres } from '../test/support/postgres.js'
import { type RedisServer, startRedis } from '../test/support/redis.js'

/** PostgreSQL and Redis of a bench's own, as full mode has them. */
export interface BothStores {
  readonly redis: RedisServer
  /** A database of its own, on the same PostgreSQL. */
  database(): Promise<FreshDatabase>
  remove(): Promise<void>
}

/** Durable as in production; no checkpoint and no rewrite within the rounds, which would hit one contestant alone. */
export async function startBoth(): Promise<BothStores> {
  const server = await startPostgres({ checkpoint_timeout: '1h', max_wal_size: '32GB' })
  const redis = await startRedis({ 'auto-aof-rewrite-percentage': '0' })
  return {
    redis,
    database: () => server.database(),
    remove: async () => {
      await redis.remove()
      await server.remove()
    },
  }
}

/** Waits until this store reigns, as this instance sees it; `beyond`: in a later term. Answers the term. */
export function reigns(spillway: Spillway, store: 'redis' | 'postgres', beyond = 0): Promise<number> {
  const number = () => {
    const { reign } = spillway.term
    return reign?.store === store && reign.number > beyond ? reign.number : 0
  }
  return eventually(number, { withinMs: 60_000, everyMs: 5, what: `the reign of ${store}` })
}
