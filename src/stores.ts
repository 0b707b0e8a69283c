import { type Config, defaultInstanceId } from './config.js'
import { SpillwayError } from './errors.js'
import type { Database } from './postgres/client.js'
import { migrate } from './postgres/migrate.js'
import { openDatabase } from './postgres/open.js'
import { redisSettings } from './redis/settings.js'
import { Controller, type TermStatus, type TermStep } from './term/controller.js'
import { FixedTerm } from './term/fixed.js'
import { PostgresTerm } from './term/postgres.js'
import { RedisMarkers } from './term/redis.js'
import type { StoreName, Term } from './term/term.js'
import { TIMING } from './term/timing.js'

/** The stores of a process, and the term that says which of them reigns. */
export interface Stores {
  readonly instanceId: string
  readonly database: Database
  readonly redis: RedisMarkers | undefined
  readonly term: Term
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

/** Errors: `CONFIG_INVALID`, `STORE_UNAVAILABLE`, `DATA_DIR_IN_USE`, `SCHEMA_TOO_NEW`. */
export async function openStores(config: Config, onProgress?: (step: string) => void): Promise<Stores> {
  const instanceId = config.instanceId || defaultInstanceId()
  const settings = redisSettings(config, instanceId)
  const database = await openDatabase(config, onProgress)
  try {
    const applied = await migrate(database)
    if (applied.length > 0) onProgress?.(`applied ${applied.length} migrations`)
    if (!settings) return await alone(instanceId, database)
  } catch (error) {
    await database.close()
    throw error
  }
  // PGlite has one connection, and nobody else to hold it up.
  const beats =
    database.kind === 'embedded'
      ? database
      : await openDatabase({ ...config, poolSize: BEAT_CONNECTIONS, listenUrl: 'off' })
  const redis = new RedisMarkers(settings)
  const table = new PostgresTerm(beats)
  const listeners = new Set<(step: TermStep) => void>()
  const onStep = (step: TermStep) => {
    for (const told of listeners) told(step)
  }
  const controller = new Controller({
    name: instanceId,
    table,
    redis,
    timing: TIMING,
    onStep,
  })
  redis.listenTo(controller)
  return {
    instanceId,
    database,
    redis,
    term: controller,
    begin: () => controller.start(),
    status: () => controller.status,
    onStep: (told) => {
      listeners.add(told)
      return () => listeners.delete(told)
    },
    turn: (store, reason) => controller.ask(store, reason),
    close: async () => {
      await controller.close()
      redis.client.close()
      if (beats !== database) await beats.close()
      await database.close()
    },
  }
}

async function alone(instanceId: string, database: Database): Promise<Stores> {
  const term = await FixedTerm.onPostgres(database)
  const { number } = term.reign
  return {
    instanceId,
    database,
    redis: undefined,
    term,
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
