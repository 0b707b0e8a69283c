import type { Database } from '../../src/postgres/client.js'
import { migrate } from '../../src/postgres/migrate.js'
import { ServerDatabase } from '../../src/postgres/server.js'
import { parseAddress } from '../../src/redis/address.js'
import type { RedisSettings } from '../../src/redis/settings.js'
import { Controller, type TermStep } from '../../src/term/controller.js'
import { PostgresTerm } from '../../src/term/postgres.js'
import { RedisMarkers } from '../../src/term/redis.js'
import { TIMING, type Timing } from '../../src/term/timing.js'
import { eventually } from '../support/eventually.js'

/** The protocol's proportions, five times as fast. */
export const QUICK: Timing = {
  ...TIMING,
  beatMs: 100,
  closingBeatMs: 20,
  trustMs: 600,
  probeMs: 100,
  okMs: 300,
  longestLeaseMs: 2000,
  flapMs: 1000,
  healthyMs: 500,
}

/** One instance's term, with connections of its own. */
export interface Instance {
  readonly database: Database
  readonly controller: Controller
  readonly redis: RedisMarkers
  readonly steps: TermStep[]
  /** Ends without a word to the others, as far as they can tell. */
  die(): Promise<void>
  close(): Promise<void>
}

export async function startInstance(
  name: string,
  postgresUrl: string,
  redisUrl: string,
  { timing = QUICK, redis: settings = {} }: { timing?: Timing; redis?: Partial<RedisSettings> } = {},
): Promise<Instance> {
  // The schema may take longer than a beat.
  const schema = new ServerDatabase({ url: postgresUrl, listenUrl: null, poolSize: 1 })
  await migrate(schema)
  await schema.close()
  const database: Database = new ServerDatabase({
    url: postgresUrl,
    listenUrl: null,
    poolSize: 2,
    statementTimeoutMs: 500,
  })
  const steps: TermStep[] = []
  const redis = new RedisMarkers({
    address: parseAddress(redisUrl),
    commandTimeoutMs: 100,
    connectTimeoutMs: 200,
    reconnectMs: 100,
    probeMs: 100,
    ca: undefined,
    name: `spillway:${name}`,
    ...settings,
  })
  const table = new PostgresTerm(database)
  const controller = new Controller({ name, table, redis, timing, onStep: (step) => steps.push(step) })
  redis.listenTo(controller)
  let dead = false
  await controller.start()
  return {
    database,
    controller,
    redis,
    steps,
    die: async () => {
      dead = true
      redis.client.close()
      await database.close()
    },
    close: async () => {
      await controller.close()
      redis.client.close()
      if (!dead) await database.close()
    },
  }
}

/** Waits until all of them trust the same reign of this store, beyond a number. Answers its number. */
export function reigns(
  instances: readonly Instance[],
  store: 'redis' | 'postgres',
  beyond = 0,
): Promise<number> {
  return eventually(
    () => {
      const numbers = instances.map(({ controller: { reign } }) =>
        reign?.store === store ? reign.number : 0,
      )
      const [first = 0] = numbers
      return first > beyond && numbers.every((number) => number === first) ? first : false
    },
    { what: `${store} reigns beyond ${beyond}`, withinMs: 15_000 },
  ) as Promise<number>
}
