import { setTimeout as pause } from 'node:timers/promises'
import { startLink } from '../support/faults/link.js'
import type { Nemesis } from '../support/faults/nemesis.js'
import { follow, laggingPromotion, type RedisPair } from '../support/faults/redis-faults.js'
import { type RedisServer, startRedis } from '../support/redis.js'
import type { LinkedFleet } from './linked-fleet.js'

/** How long a replica lags behind before it is promoted. */
const LAG_MS = 1500

/** A Redis with a replica: `serving` is whichever is the master now, under the name of the first. */
export interface RedisDuo {
  readonly serving: RedisServer
  /** The replica takes over without what came last; the fleet's ways lead to it. */
  promotion(fleet: LinkedFleet): Nemesis
  remove(): Promise<void>
}

export async function startRedisDuo(): Promise<RedisDuo> {
  const [master, replica] = await Promise.all([startRedis(SYNC), startRedis(SYNC)])
  const replication = await startLink(master.url)
  let fleet: LinkedFleet | undefined
  const pair: RedisPair = { master, replica, replication, links: () => fleet?.links('redis') ?? [] }
  await follow(pair)
  return {
    serving: {
      port: master.port,
      url: master.url,
      get folder() {
        return pair.master.folder
      },
      get pid() {
        return pair.master.pid
      },
      ask: (...command) => pair.master.ask(...command),
      kill: () => pair.master.kill(),
      stop: () => pair.master.stop(),
      start: (how) => pair.master.start(how),
      freeze: () => pair.master.freeze(),
      thaw: () => pair.master.thaw(),
      remove: () => pair.master.remove(),
    },
    promotion: (ofFleet) => {
      fleet = ofFleet
      return laggingPromotion(pair, () => pause(LAG_MS))
    },
    remove: async () => {
      await replication.close()
      await Promise.all([master.remove(), replica.remove()])
    },
  }
}

/** A replica is filled at once. */
const SYNC = { 'repl-diskless-sync-delay': '0' }
