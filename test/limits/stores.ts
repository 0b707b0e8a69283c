import { createHash } from 'node:crypto'
import { PostgresLimits } from '../../src/limits/postgres.js'
import { RedisLimits } from '../../src/limits/redis.js'
import type { Database } from '../../src/postgres/client.js'
import { migrate } from '../../src/postgres/migrate.js'
import type { RedisClient } from '../../src/redis/client.js'
import { BUCKETS, key } from '../../src/redis/keys.js'
import type { Script } from '../../src/redis/scripts.js'
import type { Reign } from '../../src/term/term.js'
import type { ClockedStore } from './limits.conformance.js'

const onRedis: Reign = {
  number: 7,
  store: 'redis',
  sign: '7:open:test',
  marker: '',
  fenceFloor: 0,
  identity: '',
  quarantined: false,
}

/** Writes the markers of a term that only this test has. */
async function markAll(redis: RedisClient, sign = onRedis.sign): Promise<void> {
  await redis.ready(5000)
  for (const bucket of BUCKETS) await redis.call('set', key('term:marker', { bucket }), sign)
}

/** The store's own scripts, but for the clock, which the test sets, and lives, which go by the server's. */
export async function clockedRedis(redis: RedisClient, close: () => Promise<void>): Promise<ClockedStore> {
  await markAll(redis)
  let now = 0
  const runAs =
    (how: 'run' | 'runAcross') =>
    (script: Script, keys: readonly string[], args: readonly (string | number)[], on?: string) =>
      script.lua.includes("'TIME'")
        ? redis[how](withClock(script), keys, [...args, now], on)
        : redis[how](script, keys, args, on)
  const clocked = new Proxy(redis, {
    get: (target, name) => {
      if (name === 'run' || name === 'runAcross') return runAs(name)
      const value: unknown = Reflect.get(target, name, target)
      return typeof value === 'function' ? value.bind(target) : value
    },
  })
  return {
    store: new RedisLimits(clocked),
    reign: onRedis,
    setClock: async (ms) => {
      now = ms
    },
    close,
  }
}

const CLOCK = /redis\.call\('TIME'\)/g
const LIVES = /'PX', life|(?:untilEnd\(limits\[p\], -1\)|tonumber\(last\) - now)\)/g
/** How many there are: one that was not found would end by the server's clock. */
const KNOWN: Readonly<Record<string, number>> = { 'take.lua': 2, 'renew.lua': 1 }

/** Takes the time as one more argument. */
function withClock(script: Script): Script {
  const lives = script.lua.match(LIVES)?.length ?? 0
  if (lives !== (KNOWN[script.name] ?? 0)) throw new Error(`${script.name} has changed: where are its lives?`)
  const lua = `local clock_ms = tonumber(table.remove(ARGV)) ${script.lua}`
    .replace(CLOCK, '{ math.floor(clock_ms / 1000), (clock_ms % 1000) * 1000 }')
    .replace(LIVES, (text) => (text.startsWith("'PX'") ? "'PX', '600000'" : "'600000')"))
  // A rest has room for it.
  const argv = script.argv.at(-1)?.startsWith('...') ? script.argv : [...script.argv, 'clock']
  return { ...script, lua, argv, sha: createHash('sha1').update(lua).digest('hex') }
}

/** The store's own functions, but for the one that says what time it is. */
export async function clockedPostgres(database: Database, close: () => Promise<void>): Promise<ClockedStore> {
  await migrate(database)
  await database.query('CREATE TABLE spillway.test_clock (ms bigint)')
  await database.query('INSERT INTO spillway.test_clock VALUES (0)')
  await database.query('GRANT SELECT ON spillway.test_clock TO PUBLIC')
  await database.query(
    `CREATE OR REPLACE FUNCTION spillway.now_ms() RETURNS bigint LANGUAGE sql VOLATILE AS
     $$ SELECT ms FROM spillway.test_clock $$`,
  )
  const [row] = await database.query<{ number: number }>('SELECT number FROM spillway.term')
  return {
    store: new PostgresLimits(database),
    reign: { ...onRedis, number: row?.number ?? 0, store: 'postgres', sign: '' },
    setClock: async (ms) => {
      await database.query('UPDATE spillway.test_clock SET ms = $1', [ms])
    },
    close,
  }
}
