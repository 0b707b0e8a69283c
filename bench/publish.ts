import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { PGlite } from '@electric-sql/pglite'
import pg from 'pg'
import { Spillway } from 'spillway'
import { SYNCED_PARAMS, SyncedFiles } from '../src/postgres/synced-files.js'
import { startPostgres } from '../test/support/postgres.js'
import { BARE_TABLE, type BareRow, Gatherer, insertMany, insertOne } from './bare.js'
import { load, payload } from './load.js'
import { type Claim, type Contestant, claim, compare, type Options, print, show } from './report.js'

const PUBLISHERS = 256
const FLOWS = 1000
/** Connections of Spillway's pool, and so of the bare batch. */
const POOL = 10

/**
 * 256 callers each publish one event of 300 bytes after the other, to 1,000 flows in turn, and wait for the
 * commit. All contestants write the same columns and indexes through the same driver and pool size; the bare
 * batch gathers its rows in the same way (`Gatherer`), all that wait in one statement or in two at once, numbers
 * them in the client, and checks nothing.
 */
export const publish: Claim = {
  name: 'publish',
  says: 'durable publish: ≥ 0.7 × a bare multi-row INSERT, ≥ 10 × one INSERT an event; PGlite ≥ 0.5 × its bare batch',
  run: async (options) => {
    await onPostgres(options)
    await onPglite(options)
  },
}

async function onPostgres({ quick }: Options): Promise<void> {
  // No checkpoint within the rounds: it would hit one contestant and not the other.
  const server = await startPostgres({ checkpoint_timeout: '1h', max_wal_size: '32GB' })
  const database = await server.database()
  const spillway = await Spillway.open({ postgres: database.url })
  const pool = new pg.Pool({ connectionString: database.url, max: POOL, pipeline: true })
  const wide = new pg.Pool({ connectionString: database.url, max: PUBLISHERS })
  try {
    await pool.query(BARE_TABLE)
    const next = numbers()
    const run = (text: string, values: unknown[]) => pool.query(text, values)
    const runWide = (text: string, values: unknown[]) => wide.query(text, values)
    const oneAtATime = new Gatherer(1, (rows) => insertMany(run, rows))
    const twoAtATime = new Gatherer(2, (rows) => insertMany(run, rows))
    const timed = (name: string, one: (flow: number, i: number) => Promise<unknown>): Contestant => ({
      name,
      round: async () => {
        return load({ publishers: PUBLISHERS, flows: FLOWS, ms: quick ? 1000 : 4000 }, one)
      },
    })
    const flows = Array.from({ length: FLOWS }, (_, i) => spillway.tenant('bench').flow(`flow-${i}`))
    const medians = await compare(
      [
        timed(
          'Spillway',
          (flow, i) => flows[flow]?.publish('progress', payload(i), { source: 'bench' }) ?? Promise.reject(),
        ),
        timed('bare batch, one in flight', (flow, i) => oneAtATime.add(row(flow, next(flow), i))),
        timed('bare batch, two in flight', (flow, i) => twoAtATime.add(row(flow, next(flow), i))),
        timed(`one INSERT an event, ${POOL} connections`, (flow, i) =>
          insertOne(run, row(flow, next(flow), i)),
        ),
        timed(`one INSERT an event, ${PUBLISHERS} connections`, (flow, i) =>
          insertOne(runWide, row(flow, next(flow), i)),
        ),
      ],
      { rounds: quick ? 2 : 5, unit: 'events/s' },
    )
    const [own = 0, one = 1, two = 1, few = 1, many = 1] = medians
    claim('Spillway / bare batch, the faster of both', own / Math.max(one, two), { atLeast: 0.7 })
    claim('Spillway / one INSERT an event, the faster of both', own / Math.max(few, many), { atLeast: 10 })
    print(`       Spillway / one INSERT an event at ${POOL} connections: ${show(own / few)}`)
  } finally {
    await spillway.close()
    await Promise.all([pool.end(), wide.end()])
    await server.remove()
  }
}

async function onPglite({ quick }: Options): Promise<void> {
  const folder = mkdtempSync(join(tmpdir(), 'spillway-bench-'))
  const spillway = await Spillway.open({ dataDir: join(folder, 'spillway') })
  // With an fsync that reaches the disk, as Spillway opens its own.
  const pglite = await PGlite.create({
    fs: new SyncedFiles(join(folder, 'bare')),
    startParams: SYNCED_PARAMS,
  })
  try {
    await pglite.exec(BARE_TABLE)
    const next = numbers()
    const gatherer = new Gatherer(1, (rows) => insertMany((text, values) => pglite.query(text, values), rows))
    const ms = quick ? 1000 : 4000
    const flows = Array.from({ length: FLOWS }, (_, i) => spillway.tenant('bench').flow(`flow-${i}`))
    const [own = 0, bare = 1] = await compare(
      [
        {
          name: 'Spillway, embedded',
          round: () =>
            load(
              { publishers: PUBLISHERS, flows: FLOWS, ms },
              (flow, i) =>
                flows[flow]?.publish('progress', payload(i), { source: 'bench' }) ?? Promise.reject(),
            ),
        },
        {
          name: 'PGlite, bare batch',
          round: () =>
            load({ publishers: PUBLISHERS, flows: FLOWS, ms }, (flow, i) =>
              gatherer.add(row(flow, next(flow), i)),
            ),
        },
      ],
      { rounds: quick ? 2 : 5, unit: 'events/s' },
    )
    claim('Spillway, embedded / PGlite, bare batch', own / bare, { atLeast: 0.5 })
  } finally {
    await spillway.close()
    await pglite.close()
    rmSync(folder, { recursive: true, force: true })
  }
}

function row(flow: number, seq: number, i: number): BareRow {
  return { flow, seq, type: 'progress', source: 'bench', payload: JSON.stringify(payload(i)) }
}

/** The next seq of each flow. */
function numbers(): (flow: number) => number {
  const heads = new Map<number, number>()
  return (flow) => {
    const seq = (heads.get(flow) ?? 0) + 1
    heads.set(flow, seq)
    return seq
  }
}
