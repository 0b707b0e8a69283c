import type { FileHandle } from 'node:fs/promises'
import type { Encoding } from './encoding.js'

/** Longest line that is read as one, in bytes; a longer one is a bad row and is skipped without being held. */
const MAX_LINE_BYTES = 1 << 20
/** Bytes at which a block ends although it has fewer lines than asked for. */
const MAX_BLOCK_BYTES = 4 << 20
const CHUNK_BYTES = 256 << 10

/** Some whole lines of a file: what a block holds depends on its offset alone, never on how the file was read. */
export interface Block {
  /** Where it begins in the file, in bytes. */
  readonly offset: number
  readonly bytes: Buffer
  /** Where each line ends within `bytes`, its line break included. */
  readonly ends: readonly number[]
  /** Where the next block begins. */
  readonly next: number
  /** True if the file ends with it. */
  readonly last: boolean
  /** One line longer than `MAX_LINE_BYTES`; `bytes` is only its beginning. */
  readonly overlong: boolean
}

export type LineBreak = 'lf' | 'cr'

/** Reads a file forward in blocks of whole lines. Memory: one block and one chunk, whatever the file's size. */
export class LineReader {
  readonly #file: FileHandle
  readonly #mark: Buffer
  readonly #unit: number
  #held = Buffer.alloc(0)
  #offset: number
  #ended = false

  constructor(file: FileHandle, encoding: Encoding, lineBreak: LineBreak, offset: number) {
    const code = lineBreak === 'lf' ? 0x0a : 0x0d
    this.#file = file
    this.#offset = offset
    this.#unit = encoding.startsWith('utf-16') ? 2 : 1
    this.#mark = Buffer.from(
      encoding === 'utf-16le' ? [code, 0] : encoding === 'utf-16be' ? [0, code] : [code],
    )
  }

  /** The next `lines` lines (fewer at the end or for very long ones); null after the last. */
  async block(lines: number): Promise<Block | null> {
    const ends: number[] = []
    let from = 0
    while (ends.length < lines && from < MAX_BLOCK_BYTES) {
      const end = this.#lineEnd(from)
      if (end > 0 && end - from <= MAX_LINE_BYTES) {
        ends.push(end)
        from = end
      } else if (end > 0 || this.#held.length - from > MAX_LINE_BYTES) {
        if (ends.length === 0) return this.#skipOverlong()
        break
      } else if (!(await this.#fill())) {
        if (this.#held.length > from) ends.push(this.#held.length)
        break
      }
    }
    const last = ends.at(-1)
    if (last === undefined) return null
    if (last === this.#held.length && !this.#ended) await this.#fill()
    return this.#taken(last, ends, false)
  }

  /** Goes back (or on) to `offset`: the next block begins there. */
  seek(offset: number): void {
    const within = offset - this.#offset
    const keep = within >= 0 && within <= this.#held.length
    this.#held = keep ? this.#held.subarray(within) : Buffer.alloc(0)
    this.#offset = offset
    if (!keep) this.#ended = false
  }

  #taken(length: number, ends: readonly number[], overlong: boolean): Block {
    const offset = this.#offset
    const bytes = this.#held.subarray(0, length)
    const last = this.#ended && length === this.#held.length
    this.#held = this.#held.subarray(length)
    this.#offset += length
    return { offset, bytes, ends, next: this.#offset, last, overlong }
  }

  async #skipOverlong(): Promise<Block> {
    const offset = this.#offset
    const head = Buffer.from(this.#held.subarray(0, 4096))
    let end = this.#lineEnd(0)
    while (end < 0) {
      const keep = this.#unit
      const drop = this.#held.length - (this.#held.length % keep)
      this.#held = this.#held.subarray(drop)
      this.#offset += drop
      if (!(await this.#fill())) end = this.#held.length
      else end = this.#lineEnd(0)
    }
    this.#held = this.#held.subarray(end)
    this.#offset += end
    if (this.#held.length === 0 && !this.#ended) await this.#fill()
    const last = this.#ended && this.#held.length === 0
    return { offset, bytes: head, ends: [head.length], next: this.#offset, last, overlong: true }
  }

  #lineEnd(from: number): number {
    for (
      let at = this.#held.indexOf(this.#mark, from);
      at >= 0;
      at = this.#held.indexOf(this.#mark, at + 1)
    ) {
      // In UTF-16 the two bytes may also be found across two characters.
      if ((at - from) % this.#unit === 0) return at + this.#unit
    }
    return -1
  }

  async #fill(): Promise<boolean> {
    if (this.#ended) return false
    const chunk = Buffer.allocUnsafe(CHUNK_BYTES)
    const { bytesRead } = await this.#file.read(chunk, 0, CHUNK_BYTES, this.#offset + this.#held.length)
    if (bytesRead === 0) {
      this.#ended = true
      return false
    }
    this.#held = Buffer.concat([this.#held, chunk.subarray(0, bytesRead)])
    return true
  }
}
