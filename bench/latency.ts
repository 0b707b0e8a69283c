import { startPostgres } from '../test/support/postgres.js'
import { startSpillway } from './peers.js'
import { Readers } from './readers.js'
import { type Claim, claim, type Options, percentile, print, show } from './report.js'

const READERS = 500
const PER_SECOND = 200

/**
 * Two server processes on one PostgreSQL. This process posts 200 events a second to the first, one a request,
 * and has 500 readers on the second; both ends are on its one clock. Latency is taken at every tenth reader,
 * from before the request is sent; counts are checked at all of them.
 */
export const latency: Claim = {
  name: 'latency',
  says: 'publish to receipt, 200 events/s to 500 readers on another process over PostgreSQL alone: p99 ≤ 100 ms',
  run: async (options) => {
    const server = await startPostgres()
    try {
      for (const flows of [1, 50]) await measure(flows, (await server.database()).url, options)
    } finally {
      await server.remove()
    }
  },
}

async function measure(flows: number, url: string, { quick }: Options): Promise<void> {
  const events = PER_SECOND * (quick ? 3 : 15)
  const writer = await startSpillway({ env: { DATABASE_URL: url } })
  const reader = await startSpillway({ env: { DATABASE_URL: url } })
  const readers = new Readers()
  try {
    const names = Array.from({ length: flows }, (_, i) => `flow-${i}`)
    await readers.open(
      READERS,
      names.map((name) => `${reader.url}/v1/flows/${name}/stream`),
    )
    const taken: number[] = []
    const run = async (count: number) => {
      readers.reset()
      taken.length = 0
      const started = performance.now()
      const posted: Promise<void>[] = []
      for (let i = 0; i < count; i++) {
        const due = started + (i * 1000) / PER_SECOND
        const wait = due - performance.now()
        if (wait > 0) await new Promise((resolve) => setTimeout(resolve, wait))
        posted.push(post(`${writer.url}/v1/flows/${names[i % flows]}/events`))
      }
      await Promise.all([...posted, readers.until((count * READERS) / flows)])
    }
    readers.look(10, (chunk) => {
      const now = performance.now()
      for (let at = chunk.indexOf('"sent":'); at >= 0; at = chunk.indexOf('"sent":', at + 7)) {
        taken.push(now - Number.parseFloat(chunk.toString('latin1', at + 7, at + 25)))
      }
    })
    await run(PER_SECOND)
    await run(events)
    const p = (percent: number) => percentile(taken, percent)
    print(
      `${flows} flow(s) × ${READERS / flows} readers: p50 ${show(p(50))} ms, p90 ${show(p(90))} ms, ` +
        `p99 ${show(p(99))} ms, max ${show(p(100))} ms (${taken.length} receipts)`,
    )
    claim(`p99 in ms, ${flows} flow(s)`, p(99), { atMost: 100 })
  } finally {
    await readers.close()
    await Promise.all([writer.stop(), reader.stop()])
  }
}

async function post(url: string): Promise<void> {
  const answer = await fetch(url, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ type: 'progress', payload: { sent: performance.now() }, source: 'bench' }),
  })
  if (answer.status !== 201) throw new Error(`publish answered ${answer.status}: ${await answer.text()}`)
  await answer.arrayBuffer()
}
