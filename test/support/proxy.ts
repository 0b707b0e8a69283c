import { startLink, type Way } from './faults/link.js'

/** A TCP proxy before a database, which can lose answers. */
export interface TcpProxy {
  /** The same URL through the proxy. */
  url: string
  /**
   * Cuts the connection that next sends `text`: `reply` after the server has answered, which the client never
   * sees; `request` before the server gets it. Resolves when it was cut.
   */
  lose(what: Way, text: string): Promise<void>
  /** Lets nothing through, and answers nothing, until the returned function is called. */
  stall(): () => Promise<void>
  close(): Promise<void>
}

/** ReadyForQuery outside a transaction: the statement is committed. */
const COMMITTED = 'Z\0\0\0\x05I'

/** Starts a proxy on a free port before the server that the URL names. */
export async function startProxy(targetUrl: string): Promise<TcpProxy> {
  let loss: { what: Way; text: string; done: () => void } | undefined
  const link = await startLink(targetUrl, () => {
    /** Set on the connection whose answer is to be lost. */
    let losing: (() => void) | undefined
    return (way, chunk, cut) => {
      if (way === 'request' && loss && chunk.includes(loss.text)) {
        const { what, done } = loss
        loss = undefined
        losing = done
        if (what === 'request') {
          cut()
          done()
          return false
        }
      }
      if (way === 'request' || !losing) return true
      if (chunk.includes(COMMITTED)) {
        cut()
        losing()
      }
      return false
    }
  })
  return {
    url: link.url,
    lose: (what, text) =>
      new Promise((done) => {
        loss = { what, text, done }
      }),
    stall: () => {
      link.blackHole()
      return () => link.heal()
    },
    close: () => link.close(),
  }
}
