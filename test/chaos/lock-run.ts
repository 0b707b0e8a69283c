import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Client } from 'pg'
import { eventually } from '../support/eventually.js'
import { plan, play } from '../support/faults/schedule.js'
import { startPostgres } from '../support/postgres.js'
import { LinkedFleet } from './linked-fleet.js'
import { checkLocks, type Entry, grantsIn, type Write } from './lock-checker.js'
import { instanceNemeses, storeNemeses, unheardHolder } from './nemeses.js'
import { seeded } from './random.js'
import { startRedisDuo } from './redis-duo.js'

const INSTANCES = ['one', 'two', 'three', 'four', 'five']
/** Shorter than in production, as everything that follows from it: else a run would be one quarantine. */
const LONGEST_MS = 4000
/** What lasts longer than a lease, or than trust; and what is shorter. */
/** So often among the faults of the stores: there is a quarantine for it, and not every one finds a long lease. */
const UNHEARD = 3
const RHYTHM = { restMs: [500, 5000], lastsMs: [200, 6000] } as const

export interface LockChaosOptions {
  readonly seed: number
  readonly forMs: number
  readonly say: (line: string) => void
  /** Takes what has to be undone, whatever happens. */
  readonly cleanup: (undo: () => Promise<unknown>) => void
}

export interface LockChaosReport {
  readonly problems: readonly string[]
  readonly grants: number
  /** Of the guarded table. */
  readonly writes: number
  /** Writes of old holders that it has refused. */
  readonly refused: number
  /** Turns of the term, and those of them that had a quarantine. */
  readonly turns: number
  readonly said: string
}

/** Five processes compete for ten locks on both stores while faults come by the seed; then the reckoning. */
export async function lockChaos(options: LockChaosOptions): Promise<LockChaosReport> {
  const { seed, forMs, say, cleanup } = options
  const [postgres, duo] = await Promise.all([startPostgres(), startRedisDuo()])
  cleanup(() => Promise.all([postgres.remove(), duo.remove()]))
  const { url, adminUrl } = await postgres.database()
  await asked(url, 'CREATE TABLE guarded (id bigserial, lock text NOT NULL, fence bigint NOT NULL)')
  const folder = mkdtempSync(join(tmpdir(), 'spillway-lock-chaos-'))
  cleanup(async () => rmSync(folder, { recursive: true, force: true }))
  const logs = join(folder, 'logs')
  mkdirSync(logs)

  const fleet = await LinkedFleet.start({
    names: INSTANCES,
    urls: { redis: duo.serving.url, postgres: url },
    env: { LOCK_LOGS: logs, LOCK_LONGEST_MS: String(LONGEST_MS) },
    script: ['test/chaos/lock-worker.js'],
    say,
    folder: (name) => {
      mkdirSync(join(folder, name))
      return join(folder, name)
    },
    random: seeded(seed + 1),
  })
  cleanup(() => fleet.stop())
  const calm = () =>
    eventually(() => fleet.agreed('redis'), { what: 'a reign on Redis', withinMs: 90_000, everyMs: 100 })
  await Promise.race([calm(), fleet.crashed])

  const ending = new AbortController()
  cleanup(async () => ending.abort())
  const impatience = setInterval(() => void hurryReturns(adminUrl), 1000)
  cleanup(async () => clearInterval(impatience))
  const random = seeded(seed)
  // Two schedules: a store and an instance may be broken at the same time, two stores never.
  const ofStores = [
    ...storeNemeses({ duo, postgres, fleet }),
    ...Array.from({ length: UNHEARD }, () => unheardHolder(duo, fleet)),
  ]
  const schedules = [ofStores, instanceNemeses(fleet)].map((nemeses) =>
    play(plan(nemeses, { random, forMs, ...RHYTHM }), { say, signal: ending.signal, forMs }),
  )
  await Promise.race([Promise.all(schedules), fleet.crashed])
  say('peace')
  await Promise.race([calm(), fleet.crashed])
  const before = grantsIn(readLogs(logs))
  await eventually(() => grantsIn(readLogs(logs)) > before + 20, {
    what: 'locks are granted in peace',
    withinMs: 30_000,
    everyMs: 200,
  })
  const said = fleet.said()
  await fleet.stop()
  const entries = readLogs(logs)
  const writes = await asked<Write>(url, 'SELECT lock, fence::float8 AS fence FROM guarded ORDER BY id')
  const [turns] = await asked<{ count: number }>(
    adminUrl,
    'SELECT count(*)::int AS count FROM spillway.turns',
  )
  return {
    problems: checkLocks(entries, writes),
    grants: grantsIn(entries),
    writes: writes.length,
    refused: entries.flat().filter(({ what }) => what === 'refused').length,
    turns: turns?.count ?? 0,
    said,
  }
}

function readLogs(folder: string): Entry[][] {
  return readdirSync(folder).map((file) =>
    readFileSync(join(folder, file), 'utf8')
      .split('\n')
      .flatMap((line) => entryOf(line)),
  )
}

/** The last line of a process that was killed may be half. */
function entryOf(line: string): Entry[] {
  try {
    const { at = '0', until = '0', ...rest } = JSON.parse(line) as Entry & { at: string; until: string }
    return [{ ...rest, at: BigInt(at), until: BigInt(until) }]
  } catch {
    return []
  }
}

/** Redis comes back soon however often it fails: else a run of many faults would be one of PostgreSQL alone. */
async function hurryReturns(adminUrl: string): Promise<void> {
  await asked(adminUrl, 'UPDATE spillway.term SET healthy_ms = 500 WHERE healthy_ms > 500').catch(
    // PostgreSQL is one of those that are broken.
    () => [],
  )
}

async function asked<R extends object>(url: string, text: string): Promise<R[]> {
  const client = new Client({ connectionString: url, connectionTimeoutMillis: 2000 })
  // A connection that PostgreSQL ends says so to whoever waits for its answer, too.
  client.on('error', () => undefined)
  try {
    await client.connect()
    return (await client.query<R>(text)).rows
  } finally {
    await client.end().catch(() => undefined)
  }
}
