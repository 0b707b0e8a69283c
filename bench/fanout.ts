import { startPostgres } from '../test/support/postgres.js'
import { payload } from './load.js'
import { type Peer, startPeer, startSpillway } from './peers.js'
import { Readers } from './readers.js'
import { type Claim, claim, compare, type Options, print, show } from './report.js'

const READERS = 2000
/** Events that are on their way at most under sustained load: enough that nobody waits for the publisher. */
const WINDOW = 64

/**
 * One flow, 2,000 readers in this process over raw sockets; the server is a process of its own and gets its
 * events by HTTP POST, an array at a time. Spillway keeps them in PostgreSQL (and, as a further line, embedded). Sustained: as soon as less than a window of events is on its way,
 * the next are posted. One at a time: the next is posted when all readers have the last one; Spillway's
 * commit is in its figure, the peers have none.
 */
export const fanout: Claim = {
  name: 'fanout',
  says: 'fan-out to 2,000 connections: sustained ≥ 3 × better-sse; one event at a time ≥ 0.95 × bare res.write',
  run: async (options) => {
    const postgres = await startPostgres()
    const { url } = await postgres.database()
    const own = (name: string, peer: Peer) =>
      contestant(name, peer, '/v1/flows/fan/events', '/v1/flows/fan/stream')
    const contestants = [
      await own('Spillway', await startSpillway({ env: { DATABASE_URL: url } })),
      await contestant('better-sse', await startPeer('better-sse'), '/', '/'),
      await contestant('bare res.write', await startPeer('bare-sse'), '/', '/'),
      await own('Spillway, embedded', await startSpillway()),
    ]
    try {
      await sustained(contestants, options)
      await single(contestants, options)
    } finally {
      for (const { readers, peer } of contestants) {
        await readers.close()
        await peer.stop()
      }
      await postgres.remove()
    }
  },
}

interface Fan {
  readonly name: string
  readonly peer: Peer
  readonly post: string
  readonly readers: Readers
}

async function contestant(name: string, peer: Peer, post: string, stream: string): Promise<Fan> {
  const readers = new Readers()
  await readers.open(READERS, [`${peer.url}${stream}`])
  return { name, peer, post: `${peer.url}${post}`, readers }
}

async function send({ post }: Fan, from: number, n: number): Promise<void> {
  const events = Array.from({ length: n }, (_, i) => ({
    type: 'progress',
    payload: payload(from + i),
    source: 'bench',
  }))
  const answer = await fetch(post, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify(events),
  })
  if (answer.status !== 201) throw new Error(`${post} answered ${answer.status}: ${await answer.text()}`)
  await answer.arrayBuffer()
}

async function sustained(fans: readonly Fan[], { quick }: Options): Promise<void> {
  const ms = quick ? 1000 : 4000
  const [own = 0, better = 1, bare = 1] = await compare(
    fans.map((fan) => ({
      name: `${fan.name}, sustained`,
      round: async () => {
        const { readers } = fan
        readers.reset()
        const started = performance.now()
        let sent = 0
        while (performance.now() - started < ms) {
          await send(fan, sent, WINDOW / 4)
          sent += WINDOW / 4
          await readers.until((sent - (WINDOW * 3) / 4) * READERS)
        }
        await readers.until(sent * READERS)
        return (sent * READERS) / ((performance.now() - started) / 1000)
      },
    })),
    { rounds: quick ? 2 : 5, unit: 'deliveries/s' },
  )
  claim('sustained, Spillway / better-sse', own / better, { atLeast: 3 })
  print(`       sustained, Spillway / bare res.write: ${show(own / bare)}`)
}

async function single(fans: readonly Fan[], { quick }: Options): Promise<void> {
  const events = quick ? 20 : 40
  const [own = 0, better = 1, bare = 1] = await compare(
    fans.map((fan) => ({
      name: `${fan.name}, one at a time`,
      round: async () => {
        const { readers } = fan
        readers.reset()
        const started = performance.now()
        for (let sent = 0; sent < events; sent++) {
          await Promise.all([send(fan, sent, 1), readers.until((sent + 1) * READERS)])
        }
        return (events * READERS) / ((performance.now() - started) / 1000)
      },
    })),
    { rounds: quick ? 2 : 5, unit: 'deliveries/s' },
  )
  claim('one at a time, Spillway / bare res.write', own / bare, { atLeast: 0.95 })
  print(`       one at a time, Spillway / better-sse: ${show(own / better)}`)
}
