import type { OutgoingHttpHeaders, ServerResponse } from 'node:http'
import type { Config } from '../config.js'
import { SpillwayError } from '../errors.js'
import { formatId, parseCursor } from '../events/cursor.js'
import { CursorBases } from '../events/cursor-bases.js'
import type { Live } from '../events/live.js'
import { Subscription } from '../events/subscription.js'
import type { Database } from '../postgres/client.js'
import { allowanceOf } from './allowance.js'
import { Connection } from './connection.js'
import { MultiReader } from './multi-reader.js'
import { idFrame, retryFrame, singleFrames } from './sse.js'

export interface StreamRequest {
  readonly tenant: string
  readonly flows: readonly string[]
  /** Whether the cursor is one over several flows. */
  readonly multi: boolean
  /** `Last-Event-ID` or `after`; undefined: from now on. */
  readonly cursor: string | undefined
  /** Headers besides the stream's own. */
  readonly headers?: OutgoingHttpHeaders
}

const RETRY_MS = 1000
const TICK_MS = 1000

const SSE_HEADERS = {
  'content-type': 'text/event-stream',
  'cache-control': 'no-cache, no-transform',
  'x-accel-buffering': 'no',
  connection: 'close',
}

/** All open streams of this process: their limits, their timer, their end. */
export class Streams {
  readonly #live: Live
  readonly #bases: CursorBases
  readonly #config: Config
  readonly #now: () => number
  readonly #open = new Map<Connection, () => void>()
  readonly #ofTenant = new Map<string, number>()
  readonly #timer: NodeJS.Timeout
  #draining = false

  constructor(
    parts: { readonly live: Live; readonly database: Database },
    config: Config,
    now = () => performance.now(),
  ) {
    this.#live = parts.live
    this.#bases = new CursorBases(parts.database)
    this.#config = config
    this.#now = now
    this.#timer = setInterval(
      () => this.#tick(),
      Math.min(TICK_MS, config.streamStallMs / 4, config.heartbeatMs / 2),
    )
    this.#timer.unref()
  }

  /** Streams open now. */
  get size(): number {
    return this.#open.size
  }

  /**
   * Answers with an event stream. From then on the stream stays open whatever becomes of the store, until its
   * life ends. Errors: `TOO_MANY_CONNECTIONS`, `DRAINING`, before anything is sent.
   */
  open(res: ServerResponse, request: StreamRequest): void {
    const { streamBufferBytes, streamLifeMs } = this.#config
    const { tenant } = request
    const { maxConnections } = allowanceOf(this.#config, tenant)
    const count = this.#ofTenant.get(tenant) ?? 0
    if (this.#draining)
      throw new SpillwayError('DRAINING', 'This instance is stopping: open the stream anew', {
        retryAfterMs: 1000,
      })
    if (count >= maxConnections) {
      const message = `${maxConnections} streams of this tenant are open on this instance: no more are allowed`
      throw new SpillwayError('TOO_MANY_CONNECTIONS', message, { retryAfterMs: 5000 })
    }
    res.writeHead(200, { ...request.headers, ...SSE_HEADERS })
    res.flushHeaders()
    if (!res.socket) {
      // Pipelined behind an answer that is not sent yet: it would be open for ever, and nobody would count it.
      res.end()
      return
    }
    if (res.socket.destroyed) return
    forget(res)
    res.socket.setNoDelay(true)
    res.socket.setTimeout(0)

    const now = this.#now()
    // Not all at once: what was opened together must not come back together.
    const endsAt = now + streamLifeMs * (0.8 + 0.2 * Math.random())
    const connection = new Connection(res, { bufferBytes: streamBufferBytes, endsAt, now })
    const close = request.multi ? this.#readMany(connection, request) : this.#readOne(connection, request)
    this.#open.set(connection, close)
    this.#ofTenant.set(tenant, count + 1)
    connection.onClose(() => {
      this.#open.delete(connection)
      const left = (this.#ofTenant.get(tenant) ?? 1) - 1
      if (left > 0) this.#ofTenant.set(tenant, left)
      else this.#ofTenant.delete(tenant)
      close()
    })
  }

  /** Ends all streams, spread over `withinMs`, so that their readers resume on other instances one by one. */
  async drain(withinMs: number): Promise<void> {
    this.#draining = true
    const connections = [...this.#open.keys()]
    const slices = Math.min(20, Math.max(1, Math.ceil(connections.length / 50)))
    const size = Math.ceil(connections.length / slices)
    for (let i = 0; i < slices; i++) {
      for (const connection of connections.slice(i * size, (i + 1) * size)) this.#end(connection)
      if (i < slices - 1) await new Promise((resolve) => setTimeout(resolve, withinMs / slices))
    }
    clearInterval(this.#timer)
  }

  #readOne(connection: Connection, { tenant, flows, cursor }: StreamRequest): () => void {
    const feed = this.#live.feed({ tenant, flow: flows[0] as string })
    connection.write(retryFrame(RETRY_MS))
    const start = cursor === undefined ? 'now' : (parseCursor(cursor) ?? 'invalid')
    const subscription = new Subscription(feed, start, {
      opened: ({ term, seq }) => connection.write(idFrame(formatId(term, seq))),
      deliver: (delivery) => {
        const more = connection.writeShared(delivery.once(singleFrames))
        if (!more && connection.open) connection.onDrain(() => void subscription.resume())
        return more
      },
    })
    return () => subscription.close()
  }

  #readMany(connection: Connection, { tenant, flows, cursor }: StreamRequest): () => void {
    connection.write(retryFrame(RETRY_MS))
    const reader = new MultiReader({ live: this.#live, bases: this.#bases, connection, tenant, flows })
    void reader.start(cursor)
    return () => reader.close()
  }

  #end(connection: Connection): void {
    this.#open.get(connection)?.()
    connection.end()
  }

  #tick(): void {
    const now = this.#now()
    const { streamBufferBytes: bufferBytes, streamStallMs: stallMs, heartbeatMs } = this.#config
    for (const connection of this.#open.keys()) {
      if (now >= connection.endsAt && connection.open) this.#end(connection)
      else connection.tick(now, { bufferBytes, stallMs, heartbeatMs })
    }
  }
}

/**
 * Lets go of what only the head needed. The answer never finishes: what listens for that would keep the
 * framework's request and reply, and a browser's headers, in memory for as long as the stream (bench/memory).
 */
function forget(res: ServerResponse): void {
  res.removeAllListeners()
  res.req.rawHeaders.length = 0
  res.req.headers = {}
}
