import { connect, type Socket } from 'node:net'

/**
 * A stream's reader over a raw socket, cheap enough to have thousands: it only looks for ids and seqs, and
 * counts a frame when the whole of it is there. It can stop reading, and resumes where it was after a cut.
 */
export class RawReader {
  /** Events of the flow in their order, without a repeat; else `fault` says what came. */
  seq = 0
  fault: string | undefined
  /** Connections that the server ended. */
  cuts = 0
  readonly #url: URL
  readonly #flow: string
  readonly #onEvent: ((frame: Buffer) => void) | undefined
  #lastEventId = ''
  #socket: Socket | undefined
  #rest: Buffer = Buffer.alloc(0)
  #closed = false
  #opened: () => void = () => undefined

  constructor(url: string, flow: string, onEvent?: (frame: Buffer) => void) {
    this.#url = new URL(url)
    this.#flow = flow
    this.#onEvent = onEvent
  }

  /** Resolves with the first frame that has an id. */
  open(): Promise<void> {
    return new Promise((resolve) => {
      this.#opened = resolve
      this.#connect()
    })
  }

  stop(): void {
    this.#socket?.pause()
  }

  resume(): void {
    this.#socket?.resume()
  }

  close(): void {
    this.#closed = true
    this.#socket?.destroy()
  }

  #connect(): void {
    const { port, host, pathname, search } = this.#url
    const resumed = this.#lastEventId === '' ? '' : `Last-Event-ID: ${this.#lastEventId}\r\n`
    this.#rest = Buffer.alloc(0)
    this.#socket = connect(Number(port), '127.0.0.1')
      .on('data', (chunk) => this.#read(chunk))
      .on('error', () => undefined)
      .on('end', () => this.#socket?.destroy())
      .on('close', () => {
        if (this.#closed) return
        this.cuts += 1
        this.#connect()
      })
    this.#socket.write(`GET ${pathname}${search} HTTP/1.1\r\nHost: ${host}\r\n${resumed}\r\n`)
  }

  #read(chunk: Buffer): void {
    const bytes = this.#rest.length > 0 ? Buffer.concat([this.#rest, chunk]) : chunk
    let at = 0
    for (;;) {
      const start = bytes.indexOf('id: ', at)
      const end = start < 0 ? -1 : bytes.indexOf('\n\n', start)
      if (end < 0) break
      this.#frame(bytes.subarray(start, end))
      at = end + 2
    }
    this.#rest = bytes.subarray(at)
  }

  #frame(frame: Buffer): void {
    this.#lastEventId = frame.toString('latin1', 4, lineEnd(frame))
    const data = frame.indexOf('data: {"id":"1-')
    if (data < 0) {
      this.#opened()
      return
    }
    const head = frame.toString('latin1', data, data + 80)
    const [, seq = '', flow = ''] = /"id":"1-(\d+)","flow":"([^"]+)"/.exec(head) ?? []
    if (flow !== this.#flow) return
    if (Number(seq) !== this.seq + 1) this.fault ??= `${seq} behind ${this.seq}`
    this.seq = Number(seq)
    this.#onEvent?.(frame)
  }
}

function lineEnd(frame: Buffer): number {
  const end = frame.indexOf('\n')
  return end < 0 ? frame.length : end
}
