import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { SpillwayError } from '../../src/errors.js'
import type { Answers, LockStore, MovedLease } from '../../src/locks/locks.js'
import { PostgresLocks } from '../../src/locks/postgres.js'
import { RedisLocks } from '../../src/locks/redis.js'
import type { Database } from '../../src/postgres/client.js'
import { EmbeddedDatabase } from '../../src/postgres/embedded.js'
import { migrate } from '../../src/postgres/migrate.js'
import { ServerDatabase } from '../../src/postgres/server.js'
import type { RedisClient } from '../../src/redis/client.js'
import { BUCKETS, key } from '../../src/redis/keys.js'
import { fenceFloor, type Reign, type Term } from '../../src/term/term.js'
import { openClient } from '../redis/open.js'
import { freshDatabase } from '../support/database.js'
import { startPgBouncer } from '../support/pgbouncer.js'
import { REDIS_KINDS } from '../support/redis-kinds.js'

/** A store of locks with a reign that the tests set. */
export interface OpenStore {
  readonly store: LockStore
  readonly database: Database | undefined
  readonly redis: RedisClient | undefined
  /** The reign that is open there. */
  readonly reign: Reign
  /** The term as one of two processes sees it. */
  term(process: 0 | 1): Term
  /** Another reign opens, knowing the leases that are moved to it and no others. */
  turn(moved?: readonly MovedLease[]): Promise<void>
  /** No fence is left in this reign. */
  spend(): Promise<void>
  close(): Promise<void>
}

/** `marker`: the one that stands for all, on a single Redis. */
export function reignOf(store: Reign['store'], number: number, quarantined = false, marker = ''): Reign {
  const sign = store === 'redis' ? signOf(number) : ''
  return { number, store, sign, marker, identity: '', fenceFloor: fenceFloor(number), quarantined }
}

/** Asks for one alone. Errors: its own, too. */
export async function one<T>(answers: Answers<T>): Promise<T> {
  const [answer] = await answers
  if (answer instanceof SpillwayError) throw answer
  return answer as T
}

/** A term in which this reign goes on, as the only store's does. */
function termOf(reign: () => Reign): Term {
  return {
    get reign() {
      return reign()
    },
    get last() {
      return reign()
    },
    operate: (run) => run(reign()),
    onChange: () => () => undefined,
    join: () => undefined,
  }
}

const signOf = (number: number) => `${number}:open:test`

async function onKind(kind: keyof typeof REDIS_KINDS): Promise<OpenStore> {
  const { url, remove } = await REDIS_KINDS[kind]()
  const redis = openClient(url, {}, { commandTimeoutMs: 5000 })
  await redis.ready(10_000)
  const store = new RedisLocks(redis)
  let number = 1
  const marker = redis.kind === 'standalone' ? key('term:marker', { bucket: BUCKETS[0] ?? '' }) : ''
  const reign = () => reignOf('redis', number, false, marker)
  const mark = async (sign: string) => {
    await Promise.all(BUCKETS.map((bucket) => redis.call('set', key('term:marker', { bucket }), sign)))
  }
  await mark(signOf(number))
  return {
    store,
    redis,
    database: undefined,
    get reign() {
      return reign()
    },
    term: () => termOf(reign),
    turn: async (moved = []) => {
      await store.carry(moved, number + 1)
      number += 1
      await mark(signOf(number))
    },
    spend: async () => {
      const last = String(fenceFloor(number + 1) - 1)
      await Promise.all(BUCKETS.map((bucket) => redis.call('set', key('lock:fences', { bucket }), last)))
    },
    close: async () => {
      redis.close()
      await remove()
    },
  }
}

async function onPostgres(database: Database, remove: () => Promise<void>): Promise<OpenStore> {
  await migrate(database)
  const store = new PostgresLocks(database)
  const [row] = await database.query<{ number: number }>('SELECT number FROM spillway.term')
  let number = row?.number ?? 0
  return {
    store,
    database,
    redis: undefined,
    get reign() {
      return reignOf('postgres', number)
    },
    term: () => termOf(() => reignOf('postgres', number)),
    turn: async (moved = []) => {
      await database.scoped('all', (tx) => store.reclaim(tx, moved, number + 1))
      await database.query('UPDATE spillway.term SET number = number + 1')
      number += 1
    },
    spend: async () => {
      await database.query(
        `SELECT setval(('spillway.fences_' || n)::regclass, 4294967295) FROM generate_series(0, 63) AS n`,
      )
    },
    close: async () => {
      await database.close()
      await remove()
    },
  }
}

/** Every store of locks there is. */
export const STORES: Readonly<Record<string, () => Promise<OpenStore>>> = {
  Redis: () => onKind('standalone'),
  'Redis behind a Sentinel': () => onKind('sentinel'),
  'a Redis Cluster': () => onKind('cluster'),
  PostgreSQL: async () => {
    const fresh = await freshDatabase()
    return onPostgres(new ServerDatabase({ url: fresh.url, listenUrl: fresh.url, poolSize: 4 }), fresh.drop)
  },
  'PostgreSQL behind PgBouncer': async () => {
    const fresh = await freshDatabase()
    const pooler = await startPgBouncer(fresh.url)
    const database = new ServerDatabase({ url: pooler.url, listenUrl: null, poolSize: 4 })
    return onPostgres(database, async () => {
      await pooler.remove()
      await fresh.drop()
    })
  },
  PGlite: async () => {
    const folder = await mkdtemp(join(tmpdir(), 'spillway-locks-'))
    return onPostgres(await EmbeddedDatabase.open(folder), () => rm(folder, { recursive: true }))
  },
}
