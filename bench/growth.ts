import pg from 'pg'
import { Spillway } from 'spillway'
import { startPostgres } from '../test/support/postgres.js'
import { load, payload } from './load.js'
import { startSpillway } from './peers.js'
import { Readers } from './readers.js'
import { type Claim, type Options, print, show } from './report.js'

/** What happens to the cost of one as there are more: curves, no target but that they stay flat. */
export const growth: Claim = {
  name: 'growth',
  says: 'flows, readers of one flow, stored events under retention: the cost of one stays flat',
  run: async (options) => {
    await byFlows(options)
    await byStored(options, {})
    await byStored(options, OFTEN)
    await byReaders(options)
  },
}

const PUBLISHERS = 256
/** What docs/operating.md tells who publishes much to set. */
const OFTEN = { autovacuum_naptime: '10s' }

async function byFlows({ quick }: Options): Promise<void> {
  const server = await startPostgres()
  try {
    for (const flows of quick ? [1000, 10_000] : [1000, 3000, 10_000, 30_000, 100_000]) {
      const spillway = await Spillway.open({ postgres: (await server.database()).url })
      const tenant = spillway.tenant('bench')
      const publish = (flow: number, i: number) =>
        tenant.flow(`flow-${flow}`).publish('progress', payload(i), { source: 'bench' })
      // Every flow exists before the clock starts.
      let next = 0
      await Promise.all(
        Array.from({ length: PUBLISHERS }, async () => {
          while (next < flows) await publish(next++, 0)
        }),
      )
      const rate = await load({ publishers: PUBLISHERS, flows, ms: quick ? 1000 : 5000 }, publish)
      print(`${show(flows).padStart(9)} flows: ${show(rate).padStart(9)} events/s`)
      await spillway.close()
    }
  } finally {
    await server.remove()
  }
}

/** 1,000 flows that keep a thousandth each of `kept`; the table is measured when each size was reached. */
async function byStored({ quick }: Options, settings: Readonly<Record<string, string>>): Promise<void> {
  const kept = quick ? 100_000 : 3_000_000
  const set = Object.entries(settings).map(([name, value]) => `${name} = ${value}`)
  print(`PostgreSQL ${set.length > 0 ? `with ${set.join(', ')}` : 'as it comes'}`)
  const server = await startPostgres(settings)
  const { url, adminUrl } = await server.database()
  const spillway = await Spillway.open({ postgres: url, config: { retentionEvents: kept / 1000 } })
  const client = new pg.Client({ connectionString: adminUrl })
  await client.connect()
  try {
    const tenant = spillway.tenant('bench')
    const publish = (flow: number, i: number) =>
      tenant.flow(`flow-${flow}`).publish('progress', payload(i), { source: 'bench' })
    const size = async () => {
      const { rows } = await client.query<{ bytes: string; events: string }>(
        `SELECT pg_total_relation_size('spillway.events') AS bytes, sum(head - floor) AS events FROM spillway.flows JOIN spillway.heads ON flow_id = id`,
      )
      return { mb: Number(rows[0]?.bytes ?? 0) / 2 ** 20, events: Number(rows[0]?.events ?? 0) }
    }
    const marks = [0.01, 0.1, 0.3, 1].map((part) => part * kept).filter((mark) => mark >= 10_000)
    let published = 0
    const round = async (ms: number) => {
      const started = performance.now()
      const rate = await load({ publishers: PUBLISHERS, flows: 1000, ms }, publish)
      published += rate * ((performance.now() - started) / 1000)
      const { mb, events } = await size()
      print(
        `${show(published).padStart(9)} published: ${show(rate).padStart(9)} events/s, ` +
          `${show(events).padStart(9)} stored in ${show(mb)} MB`,
      )
    }
    for (const mark of marks) {
      while (published < mark)
        await round(Math.min(20_000, Math.max(500, ((mark - published) / 25_000) * 1000)))
    }
    print('at the limit: retention now runs beside every publish')
    for (let i = 0; i < (quick ? 4 : 12); i++) await round(quick ? 1000 : 15_000)
  } finally {
    await client.end()
    await spillway.close()
    await server.remove()
  }
}

async function byReaders({ quick }: Options): Promise<void> {
  const peer = await startSpillway()
  const readers = new Readers()
  try {
    for (const count of quick ? [10, 1000] : [10, 100, 1000, 10_000]) {
      await readers.open(count - readers.size, [`${peer.url}/v1/flows/one/stream`])
      const events = quick ? 10 : 50
      readers.reset()
      const started = performance.now()
      for (let sent = 0; sent < events; sent++) {
        const posted = fetch(`${peer.url}/v1/flows/one/events`, {
          method: 'POST',
          headers: { 'content-type': 'application/json' },
          body: JSON.stringify({ type: 'progress', payload: payload(sent), source: 'bench' }),
        })
        await Promise.all([posted.then((answer) => answer.arrayBuffer()), readers.until((sent + 1) * count)])
      }
      const each = (performance.now() - started) / events
      print(
        `${show(count).padStart(9)} readers: ${show(each)} ms from publish to the last of them, ` +
          `${show((each * 1000) / count)} µs a reader`,
      )
    }
  } finally {
    await readers.close()
    await peer.stop()
  }
}
