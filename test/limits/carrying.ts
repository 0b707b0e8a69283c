import { LimitCheck } from '../../src/limits/check.js'
import type { LimitReport, LimitSpec, Take } from '../../src/limits/limits.js'
import { PostgresLimits } from '../../src/limits/postgres.js'
import { RedisLimits } from '../../src/limits/redis.js'
import { migrate } from '../../src/postgres/migrate.js'
import { ServerDatabase } from '../../src/postgres/server.js'
import type { RedisClient } from '../../src/redis/client.js'
import { BUCKETS, key } from '../../src/redis/keys.js'
import type { Reign } from '../../src/term/term.js'
import { openClient } from '../redis/open.js'
import { freshDatabase } from '../support/database.js'
import { type RedisServer, startRedis } from '../support/redis.js'

export const LONG = 3_600_000
/** The reign that is carried over. */
export const ENDING = 1

export const reign = (store: 'redis' | 'postgres', number: number): Reign => ({
  number,
  store,
  sign: store === 'redis' ? `${number}:open:x` : '',
  marker: '',
  fenceFloor: 0,
  identity: '',
  quarantined: false,
})

/** Both stores, and markers that the test writes. */
export class Carrying {
  readonly db: ServerDatabase
  readonly redis: RedisClient
  readonly server: RedisServer
  readonly postgres: PostgresLimits
  readonly onRedis: RedisLimits
  tenant = 't0'
  check = new LimitCheck('t0')
  #run = 0
  readonly #drop: () => Promise<void>

  private constructor(
    db: ServerDatabase,
    redis: RedisClient,
    server: RedisServer,
    drop: () => Promise<void>,
  ) {
    this.db = db
    this.redis = redis
    this.server = server
    this.postgres = new PostgresLimits(db)
    this.onRedis = new RedisLimits(redis)
    this.#drop = drop
  }

  static async open(): Promise<Carrying> {
    const database = await freshDatabase()
    const db = new ServerDatabase({ url: database.url, listenUrl: null, poolSize: 4 })
    await migrate(db)
    const server = await startRedis()
    const redis = openClient(server.url, {}, { commandTimeoutMs: 5000 })
    await redis.ready(5000)
    return new Carrying(db, redis, server, () => database.drop())
  }

  /** Nothing is anywhere, and the tenant is another one. */
  async begin(): Promise<void> {
    this.#run += 1
    this.tenant = `t${this.#run}`
    this.check = new LimitCheck(this.tenant)
    await this.forget()
    await this.redis.call('flushall')
  }

  async close(): Promise<void> {
    this.redis.close()
    await this.server.remove()
    await this.db.close()
    await this.#drop()
  }

  /** Row-level security lets nobody else see all of them. */
  everywhere<R extends object>(text: string, values: readonly unknown[] = []): Promise<R[]> {
    return this.db.scoped('all', (tx) => tx.query<R>(text, values))
  }

  async forget(): Promise<void> {
    await this.everywhere('DELETE FROM spillway.limits')
    await this.everywhere('DELETE FROM spillway.limit_entries')
  }

  take(name: string, over: Partial<LimitSpec> = {}, id = `${name}-${over.cost ?? 1}`): Take {
    return {
      id,
      limits: this.check.all([{ name, max: 10, perMs: LONG, ...over }]),
      lease: over.algorithm === 'concurrency',
      strict: false,
    }
  }

  /** Counted by PostgreSQL in the reign that ends. */
  count(...takes: readonly Take[]) {
    return this.postgres.take(takes, reign('postgres', ENDING))
  }

  async mark(text: string): Promise<void> {
    await Promise.all(BUCKETS.map((bucket) => this.redis.call('set', key('term:marker', { bucket }), text)))
  }

  async used(store: PostgresLimits | RedisLimits): Promise<Record<string, number>> {
    const { limits } = await store.list(this.tenant, { limit: 1000 })
    return Object.fromEntries(limits.map((one) => [`${one.algorithm} ${one.name}`, one.used]))
  }

  async one(store: PostgresLimits | RedisLimits, name: string): Promise<LimitReport | undefined> {
    return (await store.list(this.tenant, { limit: 10, name })).limits[0]
  }
}
