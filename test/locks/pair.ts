import { PostgresLocks } from '../../src/locks/postgres.js'
import { RedisLocks } from '../../src/locks/redis.js'
import { ServerDatabase } from '../../src/postgres/server.js'
import type { StoreName } from '../../src/term/term.js'
import { freshDatabase } from '../support/database.js'
import { type RedisServer, startRedis } from '../support/redis.js'
import { type Instance, reigns, startInstance } from '../term/fleet.js'
import type { OpenStore } from './stores.js'

/** Redis and PostgreSQL under a real term of two instances. */
export interface Pair extends OpenStore {
  readonly fleet: readonly Instance[]
  readonly server: RedisServer
  /** Makes a store reign, at an operator's wish. */
  reignsOn(store: StoreName): Promise<number>
}

export async function openPair(): Promise<Pair> {
  const [server, fresh] = await Promise.all([startRedis(), freshDatabase()])
  const database = new ServerDatabase({ url: fresh.url, listenUrl: fresh.url, poolSize: 4 })
  const fleet: Instance[] = []
  for (const name of ['a', 'b']) fleet.push(await startInstance(name, fresh.url, server.url))
  const [first] = fleet as [Instance]
  const redis = first.redis.client
  const stores = { redis: new RedisLocks(redis), postgres: new PostgresLocks(database) }
  const reign = () => {
    const { reign: now } = first.controller
    if (!now) throw new Error('nobody reigns')
    return now
  }
  return {
    fleet,
    server,
    database,
    redis,
    get store() {
      return stores[reign().store]
    },
    get reign() {
      return reign()
    },
    term: (i) => (fleet[i] as Instance).controller,
    reignsOn: async (store) => {
      const { number } = reign()
      if (reign().store === store) return number
      first.controller.ask(store, 'operator')
      return reigns(fleet, store, number)
    },
    turn: async () => {
      throw new Error('the term turns by itself')
    },
    spend: async () => {
      throw new Error('that is a matter of the stores')
    },
    close: async () => {
      await Promise.all(fleet.map((instance) => instance.close()))
      await database.close()
      await Promise.all([server.remove(), fresh.drop()])
    },
  }
}
