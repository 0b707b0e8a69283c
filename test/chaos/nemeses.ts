import { setTimeout as pause } from 'node:timers/promises'
import { LINK_FAULTS, type LinkFault, linkFault } from '../support/faults/link-faults.js'
import type { Nemesis } from '../support/faults/nemesis.js'
import { postgresKilled, postgresStopped, processFrozen } from '../support/faults/process-faults.js'
import { clientsPaused, redisFlushed, redisFrozen, redisKilled } from '../support/faults/redis-faults.js'
import type { PostgresServer } from '../support/postgres.js'
import type { RedisServer } from '../support/redis.js'
import type { LinkedFleet } from './linked-fleet.js'

/** Everything that a run breaks; each victim is chosen when its fault begins. */
export function nemesesOf(parts: {
  readonly redis: RedisServer
  readonly postgres: PostgresServer
  readonly fleet: LinkedFleet
}): Nemesis[] {
  const { redis, postgres, fleet } = parts
  return [
    redisKilled(redis, 'same'),
    redisKilled(redis, 'empty'),
    redisKilled(redis, 'truncated'),
    redisKilled(redis, 'older', () => pause(1500)),
    redisFrozen(redis),
    redisFlushed(redis),
    clientsPaused(redis, 'ALL', 3000),
    clientsPaused(redis, 'WRITE', 600_000),
    postgresStopped(postgres),
    postgresKilled(postgres),
    fleet.killed(),
    processFrozen(() => fleet.process()),
    ...linkNemeses(fleet),
  ]
}

function linkNemeses(fleet: LinkedFleet): Nemesis[] {
  const faults = Object.keys(LINK_FAULTS) as LinkFault[]
  return (['redis', 'postgres'] as const).flatMap((store) => {
    const name = store === 'redis' ? 'Redis' : 'PostgreSQL'
    const pick = () => fleet.link(store)
    return [
      ...faults.map((fault) => linkFault(name, fault, pick)),
      linkFault(name, 'black hole', pick, 'dropped'),
    ]
  })
}
