import { once } from 'node:events'
import { connect, createServer, type Server, type Socket } from 'node:net'
import { fairWeather, Pump, type Weather } from './pump.js'

/** `request` flows to the store, `reply` from it. */
export type Way = 'request' | 'reply'

const BOTH: readonly Way[] = ['request', 'reply']

/** What has happened on a link since it was made. */
export interface LinkCounts {
  accepted: number
  /** Connections that the link itself has ended. */
  cut: number
  request: number
  reply: number
}

/** Sees the bytes of one connection as they pass; `cut` ends the connection, false keeps the bytes back. */
export type Watch = (way: Way, chunk: Buffer, cut: () => void) => boolean

/** One instance's way to one store: a TCP proxy whose faults are switched while it runs. */
export interface Link {
  /** The store's URL, through this link. */
  readonly url: string
  readonly counts: Readonly<LinkCounts>
  /** Connections that are open now. */
  readonly open: number
  /**
   * Passes nothing on these ways, on open and on new connections, which are still accepted. What was sent
   * meanwhile arrives late, after `heal()`, even from a client that has given up: the accident that late
   * requests are about. `reset()` before `heal()` drops it.
   */
  blackHole(...ways: Way[]): void
  /** Delays every byte on these ways from now on. */
  delay(ms: number, ...ways: Way[]): void
  /** Passes that many bytes a second and connection on these ways. */
  throttle(bytesPerSecond: number, ...ways: Way[]): void
  /** Nobody listens any more; open connections go on. */
  refuse(): Promise<void>
  /** Ends all connections with a TCP reset. */
  reset(): void
  /** Resets every connection that is opened from now on. */
  resetNew(): void
  /** Passes `bytes` more of the next reply of any connection, then resets it. Resolves when it was cut. */
  cutReply(bytes: number): Promise<void>
  /** Leads new connections to another server, and resets the open ones. */
  retarget(url: string): void
  /** Everything passes again. */
  heal(): Promise<void>
  close(): Promise<void>
}

/** Starts a link on a free port before the server that the URL names; each connection gets a watch of its own. */
export async function startLink(storeUrl: string, newWatch: () => Watch = () => () => true): Promise<Link> {
  const link = new TcpLink(storeUrl, newWatch)
  await link.listen()
  return link
}

class TcpLink implements Link {
  readonly counts: LinkCounts = { accepted: 0, cut: 0, request: 0, reply: 0 }
  readonly #weather: Record<Way, Weather> = { request: fairWeather(), reply: fairWeather() }
  readonly #connections = new Set<Connection>()
  readonly #newWatch: () => Watch
  readonly #url: URL
  #target: URL
  #server: Server | undefined
  #port = 0
  #resetsNew = false
  #cutting: { bytes: number; done: () => void } | undefined

  constructor(storeUrl: string, newWatch: () => Watch) {
    this.#url = new URL(storeUrl)
    this.#target = new URL(storeUrl)
    this.#newWatch = newWatch
  }

  get url(): string {
    return this.#url.href
  }

  get open(): number {
    return this.#connections.size
  }

  async listen(): Promise<void> {
    const server = createServer({ allowHalfOpen: true }, (client) => this.#accept(client))
    server.listen(this.#port, '127.0.0.1')
    await once(server, 'listening')
    const address = server.address()
    if (address === null || typeof address === 'string') throw new Error('no port')
    this.#port = address.port
    this.#url.hostname = '127.0.0.1'
    this.#url.port = String(address.port)
    this.#server = server
  }

  blackHole(...ways: Way[]): void {
    this.#change(ways, (weather) => {
      weather.passes = false
    })
  }

  delay(ms: number, ...ways: Way[]): void {
    this.#change(ways, (weather) => {
      weather.delayMs = ms
    })
  }

  throttle(bytesPerSecond: number, ...ways: Way[]): void {
    this.#change(ways, (weather) => {
      weather.bytesPerSecond = bytesPerSecond
    })
  }

  async refuse(): Promise<void> {
    const server = this.#server
    this.#server = undefined
    // `close` has an end only when the open connections have one; the port is free at once.
    server?.close()
  }

  reset(): void {
    for (const connection of this.#connections) {
      this.counts.cut += 1
      connection.reset()
    }
  }

  resetNew(): void {
    this.#resetsNew = true
  }

  cutReply(bytes: number): Promise<void> {
    return new Promise((done) => {
      this.#cutting = { bytes, done }
    })
  }

  retarget(url: string): void {
    this.#target = new URL(url)
    this.reset()
  }

  async heal(): Promise<void> {
    this.#resetsNew = false
    this.#cutting = undefined
    this.#change(BOTH, (weather) => Object.assign(weather, fairWeather()))
    if (!this.#server) await this.listen()
  }

  async close(): Promise<void> {
    await this.refuse()
    const ended = [...this.#connections].map((connection) => connection.ended)
    for (const connection of this.#connections) connection.reset()
    await Promise.all(ended)
  }

  #change(ways: readonly Way[], change: (weather: Weather) => void): void {
    for (const way of ways.length > 0 ? ways : BOTH) change(this.#weather[way])
    for (const connection of this.#connections) connection.look()
  }

  #accept(client: Socket): void {
    this.counts.accepted += 1
    if (this.#resetsNew) {
      this.counts.cut += 1
      client.on('error', () => undefined).resetAndDestroy()
      return
    }
    const { hostname, port } = this.#target
    const store = connect({ host: hostname, port: Number(port), allowHalfOpen: true, noDelay: true })
    client.setNoDelay()
    const watch = this.#newWatch()
    const connection: Connection = new Connection(client, store, this.#weather, (way, chunk) =>
      this.#pass(way, chunk, connection, watch),
    )
    this.#connections.add(connection)
    connection.ended.then(() => this.#connections.delete(connection))
  }

  /** True if these bytes may go on as they are. */
  #pass(way: Way, chunk: Buffer, connection: Connection, watch: Watch): boolean {
    const cut = () => {
      this.counts.cut += 1
      connection.reset()
    }
    const cutting = way === 'reply' ? this.#cutting : undefined
    if (cutting && chunk.length > cutting.bytes) {
      this.#cutting = undefined
      this.counts.reply += cutting.bytes
      connection.endAfter(chunk.subarray(0, cutting.bytes), () => {
        this.counts.cut += 1
        cutting.done()
      })
      return false
    }
    if (cutting) cutting.bytes -= chunk.length
    if (!watch(way, chunk, cut)) return false
    this.counts[way] += chunk.length
    return true
  }
}

/** The two sockets of one connection, and the two pumps between them. */
class Connection {
  readonly ended: Promise<void>
  readonly #client: Socket
  readonly #store: Socket
  readonly #pumps: readonly Pump[]

  constructor(
    client: Socket,
    store: Socket,
    weather: Record<Way, Weather>,
    pass: (way: Way, chunk: Buffer) => boolean,
  ) {
    this.#client = client
    this.#store = store
    this.ended = new Promise((resolve) => {
      const end = () => {
        for (const pump of this.#pumps) pump.stop()
        // Whichever side broke, the other learns it; after two orderly ends both are closed already.
        client.destroy()
        store.destroy()
        resolve()
      }
      for (const socket of [client, store]) socket.on('error', () => this.reset()).on('close', end)
    })
    this.#pumps = [
      new Pump(client, store, weather.request, (chunk) => pass('request', chunk)),
      new Pump(store, client, weather.reply, (chunk) => pass('reply', chunk)),
    ]
  }

  look(): void {
    for (const pump of this.#pumps) pump.look()
  }

  reset(): void {
    for (const pump of this.#pumps) pump.stop()
    for (const socket of [this.#client, this.#store]) if (!socket.destroyed) socket.resetAndDestroy()
  }

  /** Sends these last bytes to the client and then closes: a reset could overtake them. */
  endAfter(last: Buffer, done: () => void): void {
    for (const pump of this.#pumps) pump.stop()
    this.#client.end(last, () => {
      this.reset()
      done()
    })
  }
}
