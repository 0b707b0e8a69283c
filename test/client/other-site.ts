import { once } from 'node:events'
import { existsSync } from 'node:fs'
import { readFile } from 'node:fs/promises'
import { createServer } from 'node:http'
import { basename } from 'node:path'
import { fileURLToPath } from 'node:url'

const PAGE = new URL('./other-site.html', import.meta.url)
const CLIENT = new URL('../../dist/client/', import.meta.url)

/** A web site of somebody else: its page has the built client, its server gets tickets for who is at the page. */
export interface OtherSite {
  /** As browsers name it in `Origin`. */
  readonly origin: string
  /** Who answers the page's wish for a ticket. */
  ticket: () => Promise<string>
  close(): Promise<void>
}

/** Starts one on a port and under a host name that no Spillway of the tests has. */
export async function startOtherSite(): Promise<OtherSite> {
  if (!existsSync(fileURLToPath(CLIENT))) throw new Error('The client is not built: run `npm run build`')
  const server = createServer(async ({ url = '/' }, answer) => {
    const send = (type: string, body: string | Buffer) =>
      answer.writeHead(200, { 'content-type': type }).end(body)
    try {
      if (url === '/ticket') send('text/plain', await site.ticket())
      else if (url.startsWith('/client/')) {
        send('text/javascript', await readFile(new URL(basename(url), CLIENT)))
      } else send('text/html', await readFile(PAGE))
    } catch (error) {
      answer.writeHead(500).end(String(error))
    }
  }).listen(0, '127.0.0.1')
  await once(server, 'listening')
  const address = server.address()
  const port = address !== null && typeof address === 'object' ? address.port : 0
  const site: OtherSite = {
    origin: `http://localhost:${port}`,
    ticket: () => Promise.reject(new Error('nobody gives tickets')),
    close: async () => {
      server.closeAllConnections()
      server.close()
      await once(server, 'close')
    },
  }
  return site
}
