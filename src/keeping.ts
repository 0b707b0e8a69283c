import { ApiKeys, type Keys, NoKeys } from './access/keys.js'
import { PostgresSecrets, RedisSecrets, type Secrets } from './access/secrets.js'
import type { Config } from './config.js'
import { type Backbone, PostgresBackbone } from './events/backbone.js'
import { CursorBases } from './events/cursor-bases.js'
import type { Groups } from './events/groups.js'
import { PostgresBases } from './events/postgres-bases.js'
import { PostgresGroups } from './events/postgres-groups.js'
import { RedisBackbone } from './events/redis-backbone.js'
import { RedisBases } from './events/redis-bases.js'
import { RedisGroups } from './events/redis-groups.js'
import { Upkeep } from './events/upkeep.js'
import { Limiter } from './limits/limiter.js'
import { LockDesk } from './locks/desk.js'
import type { Database } from './postgres/client.js'
import type { RedisClient } from './redis/client.js'
import { Activity } from './state/activity.js'
import { PostgresStates } from './state/postgres.js'
import { RedisStates } from './state/redis.js'
import type { FlowStates } from './state/states.js'
import type { Term } from './term/term.js'

/** What a Spillway keeps, each capability in its store. */
export interface Keeping {
  readonly backbone: Backbone
  readonly states: FlowStates
  readonly activity: Activity
  readonly groups: Groups
  readonly bases: CursorBases
  readonly desk: LockDesk
  readonly limiter: Limiter
  readonly keys: Keys
  readonly secrets: Secrets
  /** Where keys do not go away by themselves. */
  readonly upkeep: Upkeep | undefined
}

/** In PostgreSQL, with or without a Redis beside it. */
export function keepInPostgres(
  config: Config,
  stores: {
    readonly instanceId: string
    readonly database: Database
    readonly term: Term
    readonly redis: RedisClient | undefined
    /** How many instances live, as far as is known. */
    readonly instances: () => number
  },
): Keeping {
  const { database } = stores
  const states = new PostgresStates(database)
  const groups = new PostgresGroups(database)
  const activity = new Activity(states, { bySql: states })
  const backbone = new PostgresBackbone({
    config,
    ...stores,
    onStored: (ref, outcome) => upkeep.stored(ref, outcome),
    onActive: (ref, at) => activity.published(ref, at),
  })
  const upkeep = new Upkeep(
    { log: backbone.retained, beside: [states, groups] },
    {
      maxEvents: config.retentionEvents,
      maxAgeMs: config.retentionAgeMs,
      flowAgeMs: config.retentionFlowMs,
    },
  )
  return {
    backbone,
    states,
    activity,
    groups,
    bases: new CursorBases(new PostgresBases(database)),
    desk: new LockDesk(stores),
    limiter: new Limiter({ ...stores, timeoutMs: config.limitTimeoutMs }),
    keys: new ApiKeys(database),
    secrets: new PostgresSecrets(database),
    upkeep,
  }
}

/** A flow is in no list before that is written: soon, where no statement has done it with its first event. */
const LISTED_AFTER_MS = 200

/** In Redis, which is the only store. */
export function keepInRedis(
  config: Config,
  stores: { readonly instanceId: string; readonly redis: RedisClient; readonly term: Term },
): Keeping {
  const { redis, term } = stores
  const states = new RedisStates(redis, config.retentionFlowMs)
  const activity = new Activity(states, { writeMs: LISTED_AFTER_MS })
  const backbone = new RedisBackbone({
    config,
    redis,
    term,
    onActive: (ref, at) => activity.published(ref, at),
  })
  const bases = new CursorBases(new RedisBases(redis))
  term.onChange(() => bases.renew())
  return {
    backbone,
    states,
    activity,
    groups: new RedisGroups(redis, config.retentionFlowMs),
    bases,
    desk: new LockDesk({ ...stores, database: undefined }),
    limiter: new Limiter({
      ...stores,
      database: undefined,
      timeoutMs: config.limitTimeoutMs,
      instances: () => 1,
    }),
    keys: new NoKeys(),
    secrets: new RedisSecrets(redis),
    upkeep: undefined,
  }
}
