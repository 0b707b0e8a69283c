import { setTimeout as pause } from 'node:timers/promises'
import { eventually } from '../support/eventually.js'
import { clockJump } from '../support/faults/clock.js'
import { LINK_FAULTS, type LinkFault, linkFault } from '../support/faults/link-faults.js'
import type { Nemesis } from '../support/faults/nemesis.js'
import { postgresKilled, postgresStopped, processFrozen } from '../support/faults/process-faults.js'
import { clientsPaused, redisFlushed, redisFrozen, redisKilled } from '../support/faults/redis-faults.js'
import type { PostgresServer } from '../support/postgres.js'
import type { LinkedFleet } from './linked-fleet.js'
import type { RedisDuo } from './redis-duo.js'

/** Faults of the stores themselves, seen by every instance. */
export function storeNemeses(parts: {
  readonly duo: RedisDuo
  readonly postgres: PostgresServer
  readonly fleet: LinkedFleet
}): Nemesis[] {
  const { duo, postgres, fleet } = parts
  const redis = duo.serving
  const ofRedis = () => [
    redisKilled(redis, 'same'),
    redisKilled(redis, 'empty'),
    redisKilled(redis, 'truncated'),
    redisKilled(redis, 'older', () => pause(1500)),
    redisFrozen(redis),
    redisFlushed(redis),
    clientsPaused(redis, 'ALL', 3000),
    clientsPaused(redis, 'WRITE', 600_000),
    duo.promotion(fleet),
  ]
  return [
    ...ofRedis(),
    ...ofRedis().map((nemesis) => inReign(nemesis, fleet)),
    postgresStopped(postgres),
    postgresKilled(postgres),
  ]
}

/**
 * Redis is killed while it reigns, just when PostgreSQL no longer hears one of those that hold leases in it: nobody can
 * say which. Without a quarantine the others would get them too early.
 */
export function unheardHolder(duo: RedisDuo, fleet: LinkedFleet): Nemesis {
  const silence = linkFault('PostgreSQL', 'black hole', () => fleet.link('postgres'))
  const death = redisKilled(duo.serving, 'same')
  const both: Nemesis = {
    get name() {
      return `${silence.name} and ${death.name}`
    },
    begin: async () => {
      await silence.begin()
      await death.begin()
      // Until the others have turned without it.
      await pause(TURN_MS)
    },
    end: async () => {
      await death.end()
      await silence.end()
    },
  }
  return inReign(both, fleet)
}

/** Faults of one instance or of its way to one store; the victim is chosen when the fault begins. */
export function instanceNemeses(fleet: LinkedFleet): Nemesis[] {
  const clocks = [-HOUR_MS, HOUR_MS].map((ms) => clockJump(ms, () => fleet.clock()))
  return [fleet.killed(), processFrozen(() => fleet.process()), ...clocks, ...linkNemeses(fleet)]
}

const HOUR_MS = 3_600_000
/** In which a turn that has to wait for the trust of an instance that is not heard is over. */
const TURN_MS = 4000
/** How long a fault waits for Redis to reign before it comes anyway. */
const PATIENCE_MS = 10_000

/** Waits until Redis reigns: else most faults of it would fall into the time after another, when it does not. */
function inReign(nemesis: Nemesis, fleet: LinkedFleet): Nemesis {
  let reigned = false
  return {
    get name() {
      return `${nemesis.name}${reigned ? ', while it reigns' : ''}`
    },
    begin: async () => {
      reigned = await eventually(() => fleet.agreed('redis'), { withinMs: PATIENCE_MS, everyMs: 100 }).then(
        () => true,
        () => false,
      )
      await nemesis.begin()
    },
    end: () => nemesis.end(),
  }
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
