import type { FileHandle } from 'node:fs/promises'
import { decoder } from './encoding.js'
import { type Format, openFile } from './format.js'
import { LineReader } from './lines.js'
import { type BadRow, type Row, type Shape, takeRows } from './records.js'

/** A place between two rows of a file: enough to go on reading from there. */
export interface Place {
  /** Bytes from the start of the file. */
  readonly offset: number
  /** Line number, from 1. */
  readonly row: number
}

export interface Batch {
  readonly rows: readonly Row[]
  readonly bad: readonly BadRow[]
  /** Where the next batch begins. */
  readonly next: Place
}

/** A table read in batches; a batch depends on its place alone, so that reading can go on in another process. */
export class Table {
  readonly #file: FileHandle
  readonly #reader: LineReader
  readonly #shape: Shape
  #place: Place

  private constructor(file: FileHandle, format: Format, place: Place) {
    this.#file = file
    this.#reader = new LineReader(file, format.encoding, format.lineBreak, place.offset)
    this.#shape = {
      decode: decoder(format.encoding),
      delimiter: format.delimiter,
      lineBreak: format.lineBreak,
      width: format.columns.length,
    }
    this.#place = place
  }

  static async open(path: string, format: Format, place: Place = format): Promise<Table> {
    return new Table(await openFile(path), format, { offset: place.offset, row: place.row })
  }

  /** The next `lines` lines as rows, at least 100; null at the end. */
  async batch(lines: number): Promise<Batch | null> {
    const block = await this.#reader.block(Math.max(100, lines))
    if (block === null) return null
    const taken = takeRows(block, this.#place.row, this.#shape)
    const end =
      taken.lines === block.ends.length ? block.next : block.offset + (block.ends[taken.lines - 1] ?? 0)
    if (end !== block.next) this.#reader.seek(end)
    this.#place = { offset: end, row: this.#place.row + taken.lines }
    return { rows: taken.rows, bad: taken.bad, next: this.#place }
  }

  close(): Promise<void> {
    return this.#file.close()
  }
}
