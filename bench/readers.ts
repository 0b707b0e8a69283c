import { once } from 'node:events'
import { connect, type Socket } from 'node:net'

/**
 * Many stream readers in one process, as cheap as they can be: raw sockets whose bytes are only searched for
 * the ends of frames, so that the server is the one that works.
 */
export class Readers {
  /** Frames received by all readers since `reset`. */
  received = 0
  readonly #sockets: Socket[] = []
  #counts: number[] = []
  #wanted: { frames: number; resolve: () => void } | undefined
  /** Called with the chunk of a reader whose number is divisible by `every`. */
  #look: { every: number; see: (chunk: Buffer) => void } | undefined

  get size(): number {
    return this.#sockets.length
  }

  /** Frames of the slowest reader. */
  get least(): number {
    return Math.min(...this.#counts)
  }

  /** Opens `n` more readers of these addresses in turn, and resolves when all have an answer's head. */
  async open(n: number, urls: readonly string[]): Promise<void> {
    for (let from = 0; from < n; from += 100) {
      const some = Array.from(
        { length: Math.min(100, n - from) },
        (_, i) => urls[(from + i) % urls.length] ?? '',
      )
      await Promise.all(some.map((url) => this.#open(new URL(url))))
    }
  }

  reset(): void {
    this.received = 0
    this.#counts = this.#sockets.map(() => 0)
  }

  look(every: number, see: (chunk: Buffer) => void): void {
    this.#look = { every, see }
  }

  /** Resolves when all readers together have received this many frames since `reset`. */
  until(frames: number): Promise<void> {
    if (this.received >= frames) return Promise.resolve()
    return new Promise((resolve) => {
      this.#wanted = { frames, resolve }
    })
  }

  async close(): Promise<void> {
    const open = this.#sockets.filter((socket) => !socket.destroyed)
    const closed = Promise.all(open.map((socket) => once(socket, 'close')))
    for (const socket of open) socket.destroy()
    await closed
    this.#sockets.length = 0
    this.#counts = []
  }

  async #open({ hostname, port, host, pathname, search }: URL): Promise<void> {
    const socket = connect(Number(port), hostname)
    await once(socket, 'connect')
    const number = this.#sockets.push(socket) - 1
    this.#counts.push(0)
    let head = true
    let last = 0
    const answered = new Promise<void>((resolve, reject) => {
      socket.on('data', (chunk: Buffer) => {
        if (head) {
          head = false
          const status = chunk.toString('latin1', 9, 12)
          if (status === '200') resolve()
          else reject(new Error(`the stream was refused: ${chunk.toString('utf8')}`))
        }
        const frames = ends(chunk, last)
        last = chunk[chunk.length - 1] ?? 0
        this.received += frames
        this.#counts[number] = (this.#counts[number] ?? 0) + frames
        if (this.#look && number % this.#look.every === 0) this.#look.see(chunk)
        if (this.#wanted && this.received >= this.#wanted.frames) {
          const { resolve: reached } = this.#wanted
          this.#wanted = undefined
          reached()
        }
      })
      socket.once('error', reject)
    })
    socket.write(`GET ${pathname}${search} HTTP/1.1\r\nHost: ${host}\r\nAccept: text/event-stream\r\n\r\n`)
    await answered
  }
}

/** Blank lines that end in this chunk; `before` is the byte before it. */
function ends(chunk: Buffer, before: number): number {
  let found = before === 10 && chunk[0] === 10 ? 1 : 0
  for (let at = chunk.indexOf('\n\n'); at >= 0; at = chunk.indexOf('\n\n', at + 2)) found += 1
  return found
}
