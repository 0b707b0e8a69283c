import { startPostgres } from '../test/support/postgres.js'
import { startPeer, startSpillway } from './peers.js'
import { Readers } from './readers.js'
import { type Claim, claim, type Options, print, show } from './report.js'

/**
 * RSS of the server process before and with 8,000 idle streams of 100 flows, each time after full collections
 * until nothing more goes (processes/rss.ts). Before: 500 streams were opened and closed, so that code and
 * pools are warm. On PostgreSQL: PGlite's own memory would hide growth. The kernel's socket buffers are not in it.
 */
export const memory: Claim = {
  name: 'memory',
  says: '≤ 12 KB of RSS an idle connection at 8,000',
  run: async (options) => {
    const postgres = await startPostgres()
    const { url } = await postgres.database()
    const starting = startSpillway({ env: { DATABASE_URL: url } })
    const own = await perConnection('Spillway', starting, '/v1/flows/flow-%/stream', options)
    await postgres.remove()
    await perConnection('better-sse', startPeer('better-sse'), '/', options)
    await perConnection('bare res.write', startPeer('bare-sse'), '/', options)
    claim('KB an idle connection, Spillway', own, { atMost: 12 })
  },
}

async function perConnection(
  name: string,
  starting: ReturnType<typeof startPeer>,
  path: string,
  { quick }: Options,
): Promise<number> {
  const connections = quick ? 2000 : 8000
  const peer = await starting
  const urls = Array.from({ length: 100 }, (_, i) => `${peer.url}${path.replace('%', String(i))}`)
  const readers = new Readers()
  try {
    await readers.open(500, urls)
    await readers.close()
    const before = await peer.settledRss()
    await readers.open(connections, urls)
    const after = await peer.settledRss()
    const each = (after - before) / connections / 1024
    const mb = (bytes: number) => `${(bytes / 2 ** 20).toFixed(0)} MB`
    print(`${name}: ${show(each)} KB a connection (${mb(before)} -> ${mb(after)} with ${connections})`)
    return each
  } finally {
    await readers.close()
    await peer.stop()
  }
}
