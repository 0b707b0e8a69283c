import { type FileHandle, open } from 'node:fs/promises'
import { LineReader } from '../read/lines.js'

const FLUSH_CHARS = 1 << 20

/**
 * A file of JSON lines that only grows. What was appended after the last `sync` is cut off when the file is
 * opened again at the length that the checkpoint knows: a half-written line of a killed process goes with it.
 */
export class Journal {
  readonly #file: FileHandle
  #buffer: string[] = []
  #buffered = 0
  #length: number

  private constructor(file: FileHandle, length: number) {
    this.#file = file
    this.#length = length
  }

  static async open(path: string, length: number): Promise<Journal> {
    const file = await open(path, 'a+')
    await file.truncate(length)
    return new Journal(file, length)
  }

  /** Where the next line will begin, in bytes. */
  get length(): number {
    return this.#length
  }

  /** Appends a value as one line; returns where it begins. */
  append(value: unknown): number {
    const line = `${JSON.stringify(value)}\n`
    const at = this.#length
    this.#buffer.push(line)
    this.#buffered += line.length
    this.#length += Buffer.byteLength(line)
    return at
  }

  /** Writes out what is buffered once it is much; call it between batches. */
  async drain(): Promise<void> {
    if (this.#buffered >= FLUSH_CHARS) await this.flush()
  }

  async flush(): Promise<void> {
    if (this.#buffered === 0) return
    const text = this.#buffer.join('')
    this.#buffer = []
    this.#buffered = 0
    await this.#file.appendFile(text)
  }

  /** Everything appended so far is on the disk afterwards. */
  async sync(): Promise<void> {
    await this.flush()
    await this.#file.datasync()
  }

  async close(): Promise<void> {
    await this.flush()
    await this.#file.close()
  }
}

export interface Line<T> {
  readonly value: T
  /** Where the line begins and where the next one does, in bytes. */
  readonly at: number
  readonly next: number
}

/** Reads a journal in batches of at most `lines` lines, from byte `from` on. */
export async function* readJournal<T>(path: string, lines: number, from = 0): AsyncGenerator<Line<T>[]> {
  const file = await open(path, 'r')
  try {
    const reader = new LineReader(file, 'utf-8', 'lf', from)
    for (let block = await reader.block(lines); block !== null; block = await reader.block(lines)) {
      if (block.overlong)
        throw new Error(`A line of ${path} is too long to have been written by this program`)
      const batch: Line<T>[] = []
      let at = 0
      for (const end of block.ends) {
        const value: T = JSON.parse(block.bytes.toString('utf8', at, end))
        batch.push({ value, at: block.offset + at, next: block.offset + end })
        at = end
      }
      yield batch
    }
  } finally {
    await file.close()
  }
}
