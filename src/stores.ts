import { type Config, defaultInstanceId } from './config.js'
import { SpillwayError } from './errors.js'
import { type Keeping, keepInPostgres, keepInRedis } from './keeping.js'
import type { Database } from './postgres/client.js'
import { migrate } from './postgres/migrate.js'
import { openDatabase } from './postgres/open.js'
import { namesRedis, type RedisSettings, redisSettings } from './redis/settings.js'
import { AloneTerm } from './term/alone.js'
import { Controller, type TermStatus, type TermStep } from './term/controller.js'
import { FixedTerm } from './term/fixed.js'
import { PostgresTerm } from './term/postgres.js'
import { RedisMarkers } from './term/redis.js'
import { liveOf } from './term/situation.js'
import type { StoreName, Term } from './term/term.js'
import { TIMING } from './term/timing.js'

/** Which stores there are: both, or one of them alone; `embedded` is PGlite alone. */
export type Mode = 'full' | 'postgres' | 'redis' | 'embedded'

/** Beside a Redis, PGlite has to be asked for: else Redis is the only store. */
export function modeOf(config: Config): Mode {
  const { databaseUrl } = config
  if (!namesRedis(config)) return databaseUrl === '' || databaseUrl === 'embedded' ? 'embedded' : 'postgres'
  return databaseUrl === '' ? 'redis' : 'full'
}

/** The stores of a process, the term that says which of them reigns, and what is kept in them. */
export interface Stores {
  readonly mode: Mode
  readonly instanceId: string
  /** undefined where Redis is the only store. */
  readonly database: Database | undefined
  readonly term: Term
  readonly keeping: Keeping
  /** Takes part in the term; after all capabilities have joined it. */
  begin(): Promise<void>
  status(): TermStatus
  /** Calls `told` for every step of the term; the answer takes that back. */
  onStep(told: (step: TermStep) => void): () => void
  /** Errors: `INVALID_ARGUMENT`. */
  turn(store: StoreName, reason: 'operator' | 'drill'): void
  close(): Promise<void>
}

/** The beats must not wait behind everybody's statements. */
const BEAT_CONNECTIONS = 2

/** How long the start waits for a Redis that is the only store. */
const REDIS_START_MS = 5000

/** Errors: `CONFIG_INVALID`, `STORE_UNAVAILABLE`, `DATA_DIR_IN_USE`, `SCHEMA_TOO_NEW`. */
export async function openStores(config: Config, onProgress?: (step: string) => void): Promise<Stores> {
  const instanceId = config.instanceId || defaultInstanceId()
  const settings = redisSettings(config, instanceId)
  const mode = modeOf(config)
  if (settings && mode === 'redis') return redisAlone(config, instanceId, settings)
  const database = await openDatabase(config, onProgress)
  try {
    const applied = await migrate(database)
    if (applied.length > 0) onProgress?.(`applied ${applied.length} migrations`)
    const named = { mode, instanceId, database }
    return settings ? await both(config, named, settings) : await postgresAlone(config, named)
  } catch (error) {
    await database.close()
    throw error
  }
}

interface Named {
  readonly mode: Mode
  readonly instanceId: string
  readonly database: Database
}

async function both(config: Config, named: Named, settings: RedisSettings): Promise<Stores> {
  const { database, instanceId } = named
  // PGlite has one connection, and nobody else to hold it up.
  const beats =
    database.kind === 'embedded'
      ? database
      : await openDatabase({ ...config, poolSize: BEAT_CONNECTIONS, listenUrl: 'off' })
  const redis = new RedisMarkers(settings)
  const table = new PostgresTerm(beats)
  const steps = new Steps()
  const controller = new Controller({
    name: instanceId,
    table,
    redis,
    timing: TIMING,
    onStep: (step) => steps.tell(step),
  })
  redis.listenTo(controller)
  return {
    ...named,
    term: controller,
    keeping: keepInPostgres(config, {
      instanceId,
      database,
      term: controller,
      redis: redis.client,
      instances: () => Math.max(1, liveOf(controller.status.fleet, TIMING.trustMs).length),
    }),
    begin: () => controller.start(),
    status: () => ({ ...controller.status, warning: redis.client.warning }),
    onStep: (told) => steps.add(told),
    turn: (store, reason) => controller.ask(store, reason),
    close: async () => {
      await controller.close()
      redis.client.close()
      if (beats !== database) await beats.close()
      await database.close()
    },
  }
}

async function postgresAlone(config: Config, named: Named): Promise<Stores> {
  const { database, instanceId } = named
  const term = await FixedTerm.onPostgres(database)
  const { number } = term.reign
  return {
    ...named,
    term,
    keeping: keepInPostgres(config, { instanceId, database, term, redis: undefined, instances: () => 1 }),
    begin: async () => undefined,
    status: () => ({
      row: undefined,
      fleet: [],
      trusted: true,
      view: 'none',
      life: instanceId,
      reign: { number, store: 'postgres' },
    }),
    onStep: () => () => undefined,
    turn: () => {
      throw new SpillwayError('INVALID_ARGUMENT', 'There is no other store to turn to: REDIS_URL is not set')
    },
    close: () => database.close(),
  }
}

function redisAlone(config: Config, instanceId: string, settings: RedisSettings): Stores {
  const steps = new Steps()
  const term = new AloneTerm({ settings, name: instanceId, onStep: (step) => steps.tell(step) })
  return {
    mode: 'redis',
    instanceId,
    database: undefined,
    term,
    keeping: keepInRedis(config, { instanceId, redis: term.client, term }),
    begin: () => term.start(REDIS_START_MS),
    status: () => ({ ...term.status, warning: term.client.warning }),
    onStep: (told) => steps.add(told),
    turn: () => {
      throw new SpillwayError(
        'INVALID_ARGUMENT',
        'There is no other store to turn to: DATABASE_URL is not set',
      )
    },
    close: async () => term.close(),
  }
}

/** Who is told of the steps of the term. */
class Steps {
  readonly #listeners = new Set<(step: TermStep) => void>()

  add(told: (step: TermStep) => void): () => void {
    this.#listeners.add(told)
    return () => this.#listeners.delete(told)
  }

  tell(step: TermStep): void {
    for (const told of this.#listeners) told(step)
  }
}
