import { mkdirSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Client } from 'pg'
import { eventually } from '../support/eventually.js'
import { plan, play } from '../support/faults/schedule.js'
import { startPostgres } from '../support/postgres.js'
import { check, type Problem, type Run } from './checker.js'
import { clock, LinkedFleet } from './linked-fleet.js'
import { instanceNemeses, storeNemeses } from './nemeses.js'
import { seeded } from './random.js'
import { startRedisDuo } from './redis-duo.js'
import { World } from './world.js'

const INSTANCES = ['one', 'two', 'three']
const DURABLE = ['north', 'south']
const FAST = ['east', 'west']
const FLOWS = [...DURABLE, ...FAST]
const PUBLISHERS = 12
const READERS = 12
const REST_MS = 60

const ENV = {
  SPILLWAY_RETENTION_EVENTS: '1000000',
  // Readers come back all the time, and to another instance.
  SPILLWAY_STREAM_LIFE_MS: '6000',
  SPILLWAY_POOL_SIZE: '4',
}

/** What lasts longer turns the term, what is shorter should not. */
const RHYTHM = { restMs: [500, 5000], lastsMs: [200, 6000] } as const

export interface ChaosOptions {
  readonly seed: number
  readonly forMs: number
  readonly say: (line: string) => void
  /** Takes what has to be undone, whatever happens. */
  readonly cleanup: (undo: () => Promise<unknown>) => void
}

export interface ChaosReport {
  readonly run: Run
  readonly problems: readonly Problem[]
  /** Streams that were not answered with 200. */
  readonly refused: readonly string[]
  /** Turns of the term, as PostgreSQL has them. */
  readonly turns: number
  readonly acks: number
  /** What the servers have logged last. */
  readonly said: string
}

/** Three instances on both stores, publishers and readers, and faults by the seed; then peace, and the reckoning. */
export async function chaos({ seed, forMs, say, cleanup }: ChaosOptions): Promise<ChaosReport> {
  const random = seeded(seed)
  const [postgres, duo] = await Promise.all([startPostgres(), startRedisDuo()])
  cleanup(() => postgres.remove())
  cleanup(() => duo.remove())
  const folder = mkdtempSync(join(tmpdir(), 'spillway-chaos-'))
  cleanup(async () => rmSync(folder, { recursive: true, force: true }))
  const { url, adminUrl } = await postgres.database()
  const urls = { redis: duo.serving.url, postgres: url }
  // Victims are drawn apart from the plan: an instance more or less does not change the faults.
  const fleet = await LinkedFleet.start({
    names: INSTANCES,
    urls,
    env: ENV,
    say,
    folder: (name) => {
      mkdirSync(join(folder, name))
      return join(folder, name)
    },
    random: seeded(seed + 1),
  })
  cleanup(() => fleet.stop())
  const calm = () =>
    eventually(() => fleet.agreed('redis'), { what: 'a reign on Redis', withinMs: 60_000, everyMs: 100 })
  await Promise.race([calm(), fleet.crashed])

  const world = new World(fleet, FLOWS, { fast: new Set(FAST), restMs: REST_MS })
  const flowOf = (i: number) => FLOWS[i % FLOWS.length] ?? ''
  for (let i = 0; i < PUBLISHERS; i++) world.publish(`p${i}`, flowOf(i))
  for (let i = 0; i < READERS; i++) world.read(`r${i}`, flowOf(i))

  const ending = new AbortController()
  cleanup(async () => ending.abort())
  const impatience = setInterval(() => void hurryReturns(adminUrl), 1000)
  cleanup(async () => clearInterval(impatience))
  const latecomers = setInterval(
    () => {
      for (const flow of FLOWS) if (world.acks > 0) world.read(`late ${flow}`, flow, 'newest')
    },
    Math.max(4000, forMs / 5),
  )
  cleanup(async () => clearInterval(latecomers))

  say(`${clock()} the schedules begin`)
  // Two schedules: a store and an instance may be broken at the same time, two stores never.
  const schedules = [storeNemeses({ duo, postgres, fleet }), instanceNemeses(fleet)].map((nemeses) =>
    play(plan(nemeses, { random, forMs, ...RHYTHM }), { say, signal: ending.signal, forMs }),
  )
  await Promise.race([Promise.all(schedules), fleet.crashed, world.failed])
  clearInterval(latecomers)
  say(`${clock()} peace`)
  const finished = Promise.race([world.finish(calm), fleet.crashed, world.failed])
  const run = await finished.finally(async () => {
    for (const line of [...(await turnsOf(adminUrl)), await fleet.reports()]) say(line)
  })
  const turns = await turnsOf(adminUrl)
  return {
    run,
    problems: check(run),
    refused: world.refused,
    turns: turns.length,
    acks: world.acks,
    said: fleet.said(),
  }
}

/** Redis comes back soon however often it fails: else a run of many faults would be one of PostgreSQL alone. */
async function hurryReturns(adminUrl: string): Promise<void> {
  await asked(adminUrl, 'UPDATE spillway.term SET healthy_ms = 500 WHERE healthy_ms > 500').catch(
    // PostgreSQL is one of those that are broken.
    () => [],
  )
}

async function turnsOf(adminUrl: string): Promise<string[]> {
  const rows = await asked(
    adminUrl,
    `SELECT number || ' ' || store || ', ' || coalesce(reason, 'first') || ', carried ' || carried
       || CASE WHEN early THEN ', early' ELSE '' END || to_char(opened_at, ', HH24:MI:SS.MS') AS line
     FROM spillway.turns ORDER BY number`,
  )
  return rows.map(({ line }) => `term ${line}`)
}

async function asked(adminUrl: string, text: string): Promise<{ line: string }[]> {
  const client = new Client({ connectionString: adminUrl, connectionTimeoutMillis: 2000 })
  // A connection that PostgreSQL ends says so to whoever waits for its answer, too.
  client.on('error', () => undefined)
  try {
    await client.connect()
    return (await client.query<{ line: string }>(text)).rows
  } finally {
    await client.end().catch(() => undefined)
  }
}
