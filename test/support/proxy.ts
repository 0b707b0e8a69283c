import { once } from 'node:events'
import { connect, createServer, type Socket } from 'node:net'

/** A TCP proxy before a database, which can lose answers. */
export interface TcpProxy {
  /** The same URL through the proxy. */
  url: string
  /**
   * Cuts the connection that next sends `text`: `reply` after the server has answered, which the client never
   * sees; `request` before the server gets it. Resolves when it was cut.
   */
  lose(what: 'request' | 'reply', text: string): Promise<void>
  /** Lets nothing through, and answers nothing, until the returned function is called. */
  stall(): () => void
  close(): Promise<void>
}

/** Starts a proxy on a free port before the server that the URL names. */
export async function startProxy(targetUrl: string): Promise<TcpProxy> {
  const target = new URL(targetUrl)
  const pairs = new Set<{ client: Socket; server: Socket }>()
  let loss: { what: 'request' | 'reply'; text: string; done: () => void } | undefined
  let stalled = false

  const proxy = createServer((client) => {
    const server = connect(Number(target.port), target.hostname)
    const pair = { client, server }
    pairs.add(pair)
    const cut = () => {
      client.destroy()
      server.destroy()
      pairs.delete(pair)
    }
    let losing: (() => void) | undefined
    client.on('data', (chunk) => {
      if (loss && chunk.includes(loss.text)) {
        losing = loss.done
        const { what } = loss
        loss = undefined
        if (what === 'request') {
          cut()
          losing()
          return
        }
      }
      server.write(chunk)
    })
    server.on('data', (chunk) => {
      if (!losing) client.write(chunk)
      // ReadyForQuery: the statement is committed.
      else if (chunk.includes('Z\0\0\0\x05I')) {
        cut()
        losing()
      }
    })
    for (const socket of [client, server]) socket.on('close', cut).on('error', cut)
    if (stalled) {
      client.pause()
      server.pause()
    }
  }).listen(0, '127.0.0.1')
  await once(proxy, 'listening')
  const address = proxy.address()
  if (address === null || typeof address === 'string') throw new Error('no port')
  const url = new URL(targetUrl)
  url.port = String(address.port)

  const all = (does: (socket: Socket) => void) => {
    for (const { client, server } of pairs) {
      does(client)
      does(server)
    }
  }
  return {
    url: url.href,
    lose: (what, text) =>
      new Promise((resolve) => {
        loss = { what, text, done: resolve }
      }),
    stall: () => {
      stalled = true
      all((socket) => socket.pause())
      return () => {
        stalled = false
        all((socket) => socket.resume())
      }
    },
    close: async () => {
      const closed = once(proxy, 'close')
      proxy.close()
      all((socket) => socket.destroy())
      await closed
    },
  }
}
