import autocannon from 'autocannon'
import { startPostgres } from '../test/support/postgres.js'
import { payload } from './load.js'
import { type Peer, startPeer, startSpillway } from './peers.js'
import { type Claim, compare, type Options, print, show } from './report.js'

const CONNECTIONS = 64
const UNLIMITED = {
  SPILLWAY_API_LIMIT_TENANT: '0',
  SPILLWAY_API_LIMIT_USER: '0',
  SPILLWAY_API_LIMIT_ENDPOINT: '0',
}

type Peers = Readonly<Record<'spillway' | 'unlimited' | 'bare', Peer>>

/**
 * The same requests, 64 connections, to Spillway on PostgreSQL and to a bare Fastify route that parses the
 * body and answers JSON of the same size; and to Spillway without limits of its own requests, which says what those
 * cost. 300-byte payloads; the flow changes with the connection.
 */
export const http: Claim = {
  name: 'http',
  says: 'publish over HTTP, one event and 100 a request, next to a bare Fastify route',
  run: async (options) => {
    const server = await startPostgres()
    const start = async (env: Record<string, string> = {}) => {
      const database = await server.database()
      return startSpillway({ env: { DATABASE_URL: database.url, ...env } })
    }
    const peers = {
      spillway: await start(),
      unlimited: await start(UNLIMITED),
      bare: await startPeer('bare-fastify'),
    }
    try {
      for (const events of [1, 100]) await measure(events, peers, options)
    } finally {
      await Promise.all(Object.values(peers).map((peer) => peer.stop()))
      await server.remove()
    }
  },
}

async function measure(
  events: number,
  { spillway, unlimited, bare }: Peers,
  { quick }: Options,
): Promise<void> {
  const event = (i: number) => ({ type: 'progress', payload: payload(i), source: 'bench' })
  const body = JSON.stringify(events === 1 ? event(1) : Array.from({ length: events }, (_, i) => event(i)))
  let connection = 0
  const worst = new Map<string, number>()
  const contestant = (name: string, { url }: Peer) => ({
    name: `${name}, ${events} a request`,
    round: async () => {
      const result = await autocannon({
        url,
        connections: CONNECTIONS,
        duration: quick ? 2 : 5,
        // A flow a connection: all of them in one flow would measure the queue at its head.
        setupClient: (client) => {
          const path = `/v1/flows/flow-${connection++ % CONNECTIONS}/events`
          client.setRequests([
            { method: 'POST', path, headers: { 'content-type': 'application/json' }, body },
          ])
        },
      })
      if (result.non2xx > 0 || result.errors > 0)
        throw new Error(`${name}: ${result.non2xx} refused, ${result.errors} errors`)
      worst.set(name, result.latency.p99)
      return result.requests.average * events
    },
  })
  const [own = 0, free = 1, other = 1] = await compare(
    [
      contestant('Spillway', spillway),
      contestant('Spillway without limits of its own', unlimited),
      contestant('bare Fastify', bare),
    ],
    {
      rounds: quick ? 1 : 3,
      unit: 'events/s',
    },
  )
  print(`       Spillway / bare Fastify, ${events} a request: ${show(own / other)}`)
  print(`       Spillway / without limits of its own, ${events} a request: ${show(own / free)}`)
  for (const [name, p99] of worst) print(`       ${name}, p99 of a request: ${p99} ms`)
}
