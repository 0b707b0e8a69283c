import { once } from 'node:events'
import { createServer } from 'node:http'
import { Streams } from '../../src/http/streams.js'
import { type Config, Spillway, SpillwayError } from '../../src/index.js'
import { keepingOf } from '../../src/spillway.js'

/** Streams over a bare node:http server, in front of a real store. */
export interface Rig {
  readonly spillway: Spillway
  readonly streams: Streams
  /** Address of a stream of these flows of tenant `acme`; of several, or with `multi`, with one cursor. */
  url(flows: string | readonly string[], query?: Readonly<Record<string, string>>): string
  close(): Promise<void>
}

/** Opens one on `postgres`, or embedded in `dataDir`. */
export async function openRig(
  options: { postgres?: string; dataDir?: string },
  config: Partial<Config> = {},
): Promise<Rig> {
  const spillway = await Spillway.open({ ...options, config })
  const streams = new Streams({ live: spillway.live, bases: keepingOf(spillway).bases }, spillway.config)
  const server = createServer((req, res) => {
    const query = new URL(req.url ?? '/', 'http://localhost').searchParams
    const header = req.headers['last-event-id']
    try {
      streams.open(res, {
        tenant: query.get('tenant') ?? 'acme',
        flows: query.getAll('flow'),
        multi: query.has('multi'),
        cursor: typeof header === 'string' ? header : (query.get('after') ?? undefined),
      })
    } catch (error) {
      const refused = error instanceof SpillwayError
      res.writeHead(refused ? error.status : 500).end(refused ? error.code : String(error))
    }
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const address = server.address()
  const port = address !== null && typeof address === 'object' ? address.port : 0
  return {
    spillway,
    streams,
    url: (flows, query = {}) => {
      const asked = new URLSearchParams(query)
      for (const flow of [flows].flat()) asked.append('flow', flow)
      if (Array.isArray(flows)) asked.set('multi', '1')
      return `http://127.0.0.1:${port}/?${asked}`
    },
    close: async () => {
      await streams.drain(0)
      server.closeAllConnections()
      server.close()
      await once(server, 'close')
      await spillway.close()
    },
  }
}
