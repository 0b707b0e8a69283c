import pg from 'pg'
import { Spillway } from 'spillway'
import { eventually } from '../test/support/eventually.js'
import { pace } from './pace.js'
import { type Peer, startSpillway } from './peers.js'
import { type Claim, claim, type Options, percentile, print, show } from './report.js'
import { type BothStores, reigns, startBoth } from './stores.js'
import { Tally } from './tally.js'

const DURABLE_PER_SECOND = 1000
const FAST_PER_SECOND = 200
const FLOWS = 50
const BEFORE_MS = 2000

/**
 * Three instances: this process, which publishes, and two servers. Redis gets SIGKILL in the middle of it, in every
 * second round one of the servers too; later Redis comes back with its files. Complete is a turn when every instance
 * that lives names the new store and trusts it.
 */
export const turn: Claim = {
  name: 'turn',
  says: 'Redis killed at 1,000 durable publishes/s: none fails, p99 ≤ 300 ms; turned in ≤ 3 s, with one dead ≤ 5 s',
  run: async (options) => {
    const stores = await startBoth()
    try {
      for (let round = 0; round < (options.quick ? 1 : 3); round++) {
        await measure(stores, 'all alive', options)
        await measure(stores, 'one killed', options)
      }
    } finally {
      await stores.remove()
    }
  },
}

async function measure(
  { database, redis }: BothStores,
  fleet: 'all alive' | 'one killed',
  { quick }: Options,
): Promise<void> {
  await redis.ask('FLUSHALL')
  const { url: postgres, adminUrl } = await database()
  const spillway = await Spillway.open({ postgres, redis: redis.url })
  const env = { DATABASE_URL: postgres, REDIS_URL: redis.url }
  const servers = await Promise.all([startSpillway({ env }), startSpillway({ env })])
  const [victim, ...others] = servers as [Peer, ...Peer[]]
  const alive = fleet === 'all alive' ? servers : others
  try {
    const number = await reigns(spillway, 'redis')
    await eventually(() => allWell(spillway, servers.length + 1), {
      withinMs: 60_000,
      what: 'a fleet that is well',
    })
    const tenant = spillway.tenant('default')
    const flowsOf = (durability: 'durable' | 'fast') =>
      Array.from({ length: FLOWS }, (_, i) => tenant.flow(`${durability}-${i}`, { durability }))
    const durable = new Tally(flowsOf('durable'))
    const fast = new Tally(flowsOf('fast'))
    let over = false
    const load = [
      pace(
        DURABLE_PER_SECOND,
        () => !over,
        (i) => durable.publish(i),
      ),
      pace(
        FAST_PER_SECOND,
        () => !over,
        (i) => fast.publish(i),
      ),
    ]
    await new Promise((resolve) => setTimeout(resolve, BEFORE_MS))

    const killed = performance.now()
    await Promise.all([redis.kill(), ...(fleet === 'one killed' ? [victim.stop()] : [])])
    await turned(spillway, alive, 'postgres', number)
    const took = performance.now() - killed
    const away = spillway.term.reign?.number ?? 0
    await new Promise((resolve) => setTimeout(resolve, quick ? 1500 : 3000))

    await redis.start('same')
    const started = performance.now()
    const closing = closes(spillway)
    await turned(spillway, alive, 'redis', away)
    const opened = performance.now()
    over = true
    await Promise.all(load)

    print(`${fleet}:`)
    const second = durable.within(killed, killed + 1000)
    const p99 = percentile(second.took, 99)
    print(
      `  durable in the second after the kill: ${second.took.length} publishes, slowest ${show(Math.max(...second.took))} ms`,
    )
    claim('  durable publishes that failed, all the time', durable.within(0, opened).failures.length, {
      atMost: 0,
    })
    claim('  p99 in ms of that second', p99, { atMost: 300 })
    claim('  seconds until the turn is complete', took / 1000, { atMost: fleet === 'all alive' ? 3 : 5 })
    print(`  fast meanwhile: ${said(fast.within(killed, started))}`)
    const closedAt = await closing
    const carried = await carriedTo(spillway.term.reign?.number ?? 0, adminUrl)
    print(
      `  return: ${show((opened - started) / 1000)} s after Redis answered, closed for ${show(opened - closedAt)} ms of them; ` +
        `carried ${fast.inTerm(away)} fast events, ${carried} of them while closed`,
    )
    print(`  fast while closed: ${said(fast.within(closedAt, opened))}`)
    claim('  fast events lost of those acknowledged since the turn', await fast.missing(away), { atMost: 0 })
  } finally {
    await spillway.close()
    await Promise.all(servers.map((server) => server.stop()))
    await redis.start('same')
  }
}

function said({ took, failures }: { took: number[]; failures: string[] }): string {
  const codes = [...new Set(failures)].join(', ')
  return `${took.length} publishes, slowest ${show(Math.max(...took))} ms, failed ${failures.length}${codes && ` (${codes})`}`
}

/** When this instance hears of the next closing; of `performance.now()`. */
function closes(spillway: Spillway): Promise<number> {
  return new Promise((resolve) => {
    const off = spillway.onTermStep(({ step }) => {
      if (step !== 'closing') return
      off()
      resolve(performance.now())
    })
  })
}

/** All of these instances see each other and Redis. */
function allWell(spillway: Spillway, count: number): boolean {
  const { fleet } = spillway.term
  return fleet.length === count && fleet.every(({ view, matches }) => view === 'ok' && matches)
}

async function turned(
  spillway: Spillway,
  servers: readonly Peer[],
  store: 'redis' | 'postgres',
  beyond: number,
): Promise<void> {
  const there = async ({ url }: Peer) => {
    const answer = await fetch(`${url}/v1/admin/term`)
    const term: { store?: string; phase?: string; trusted?: boolean; number?: number } = JSON.parse(
      await answer.text(),
    )
    return term.store === store && term.phase === 'open' && term.trusted && (term.number ?? 0) > beyond
  }
  await Promise.all([
    reigns(spillway, store, beyond),
    ...servers.map((server) =>
      eventually(() => there(server), { withinMs: 60_000, everyMs: 20, what: `${store} at ${server.url}` }),
    ),
  ])
}

async function carriedTo(number: number, adminUrl: string): Promise<number> {
  const client = new pg.Client({ connectionString: adminUrl })
  await client.connect()
  try {
    const { rows } = await client.query<{ carried: string }>(
      'SELECT carried FROM spillway.turns WHERE number = $1',
      [number],
    )
    return Number(rows[0]?.carried)
  } finally {
    await client.end()
  }
}
