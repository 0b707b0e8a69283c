import type { ServerResponse } from 'node:http'
import type { Socket } from 'node:net'
import { chunkText, HEARTBEAT } from './sse.js'

export interface ConnectionLimits {
  /** Unsent bytes at which the reader gets nothing more until it has read. */
  readonly bufferBytes: number
  /** ms without progress after which it is cut. */
  readonly stallMs: number
  readonly heartbeatMs: number
}

const LAST_CHUNK = '0\r\n\r\n'

/**
 * One open stream. Frames go straight to the socket, framed as HTTP chunks once for all readers: the response
 * object would frame and copy them again for each.
 */
export class Connection {
  #endsAt: number
  readonly #socket: Socket
  readonly #chunked: boolean
  readonly #bufferBytes: number
  #wroteAt: number
  #sent = 0
  #sentAt: number
  #drained: (() => void) | undefined

  constructor(res: ServerResponse, options: { bufferBytes: number; endsAt: number; now: number }) {
    const socket = res.socket
    if (!socket) throw new TypeError('The connection is gone')
    this.#socket = socket
    this.#chunked = res.req.httpVersionMajor === 1 && res.req.httpVersionMinor >= 1
    this.#bufferBytes = options.bufferBytes
    this.#endsAt = options.endsAt
    this.#wroteAt = options.now
    this.#sentAt = options.now
  }

  /** Monotonic ms at which it ends so that its reader reconnects. */
  get endsAt(): number {
    return this.#endsAt
  }

  /** Ends it earlier than it would, if that is earlier. */
  endBy(at: number): void {
    this.#endsAt = Math.min(this.#endsAt, at)
  }

  get open(): boolean {
    return !this.#socket.destroyed && this.#socket.writable
  }

  /** Whether the reader may be given more. */
  get roomy(): boolean {
    return this.open && this.#socket.writableLength < this.#bufferBytes
  }

  /** Writes frames that other readers get too; Answers whether it takes more. */
  writeShared({ frames, chunk }: { readonly frames: Buffer; readonly chunk: Buffer }): boolean {
    return this.#write(this.#chunked ? chunk : frames)
  }

  /** Writes frames of this reader alone. Answers whether it takes more. */
  write(frames: string): boolean {
    return this.#write(Buffer.from(this.#chunked ? chunkText(frames) : frames))
  }

  /** Calls back once what is unsent has been read, so that more can be written. */
  onDrain(drained: () => void): void {
    if (this.#drained) return
    this.#drained = drained
    this.#socket.once('drain', () => {
      this.#drained = undefined
      drained()
    })
  }

  onClose(closed: () => void): void {
    this.#socket.once('close', closed)
  }

  /** What time asks of the connection: a heartbeat, or its cut if the reader has stalled, also at its end. */
  tick(now: number, limits: ConnectionLimits): void {
    const unsent = this.#socket.writableLength
    const sent = this.#socket.bytesWritten - unsent
    // At the end it is the reader that has to close: without a limit a vanished one would stay for ever.
    if ((unsent === 0 && this.open) || sent !== this.#sent) {
      this.#sent = sent
      this.#sentAt = now
    } else if (now - this.#sentAt > limits.stallMs) {
      this.#socket.destroy()
      return
    }
    if (unsent === 0 && now - this.#wroteAt >= limits.heartbeatMs) {
      this.#wroteAt = now
      this.write(HEARTBEAT)
    }
  }

  /** Ends the response properly: the reader reconnects and resumes. */
  end(): void {
    if (this.#chunked && this.open) this.#socket.end(LAST_CHUNK)
    else this.#socket.end()
  }

  #write(bytes: Buffer): boolean {
    if (!this.open) return false
    // What the socket itself does not find much is less than any budget: most writes end here.
    return this.#socket.write(bytes) || this.roomy
  }
}
