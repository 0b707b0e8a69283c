import { CsvError } from 'csv-parse'
import { parse } from 'csv-parse/sync'
import type { Decode } from './encoding.js'
import type { Block, LineBreak } from './lines.js'

/** Lines that one quoted row may span; beyond it the quote counts as broken. */
const MAX_ROW_LINES = 64
/** Longest row in characters: as JSON, in which one can take six bytes, it stays within a journal's line. */
const MAX_ROW_CHARS = 128 << 10
/** Characters kept of a bad row. */
const MAX_RAW_CHARS = 10_000

export interface Row {
  /** Line of the file on which the row begins; the first line is 1. */
  readonly row: number
  readonly fields: readonly string[]
}

export interface BadRow {
  readonly row: number
  readonly reason: string
  /** The row as it stands in the file, as far as it can be shown. */
  readonly raw: string
}

export interface Shape {
  readonly decode: Decode
  readonly delimiter: string
  readonly lineBreak: LineBreak
  /** Columns of the header. */
  readonly width: number
}

/** Rows of a block, and how many of its lines they took: an unfinished row at its end stays for the next. */
export interface Taken {
  readonly rows: Row[]
  readonly bad: BadRow[]
  readonly lines: number
}

function fieldsOf(text: string, shape: Pick<Shape, 'delimiter' | 'lineBreak'>): string[][] {
  return parse(text, {
    delimiter: shape.delimiter,
    record_delimiter: shape.lineBreak === 'cr' ? ['\r'] : ['\r\n', '\n'],
    relax_column_count: true,
    max_record_size: 0,
  })
}

/** Cuts a block into rows. A broken row costs only itself: its neighbours are read as if it were not there. */
export function takeRows(block: Block, firstRow: number, shape: Shape): Taken {
  if (block.overlong) {
    const raw = block.bytes.toString('latin1').slice(0, 1000)
    return { rows: [], bad: [{ row: firstRow, reason: 'the line is longer than 1 MiB', raw }], lines: 1 }
  }
  return atOnce(block, firstRow, shape) ?? oneByOne(block, firstRow, shape)
}

/** The usual case in one call: every line is a sound row of its own. Null if any is not. */
function atOnce(block: Block, firstRow: number, shape: Shape): Taken | null {
  if (block.ends.some((end, i) => end - (block.ends[i - 1] ?? 0) > MAX_ROW_CHARS)) return null
  const text = shape.decode(block.bytes)
  if (text === null || text.includes('\0')) return null
  let records: string[][]
  try {
    records = fieldsOf(text, shape)
  } catch (error) {
    if (error instanceof CsvError) return null
    throw error
  }
  if (records.length !== block.ends.length) return null
  if (
    !records.every((fields) => fields.length === shape.width && fields.some((field) => field.trim() !== ''))
  )
    return null
  return { rows: records.map((fields, i) => ({ row: firstRow + i, fields })), bad: [], lines: records.length }
}

function oneByOne(block: Block, firstRow: number, shape: Shape): Taken {
  const rows: Row[] = []
  const bad: BadRow[] = []
  let line = 0
  while (line < block.ends.length) {
    const row = firstRow + line
    const read = readRow(block, line, shape)
    if (read === 'unfinished') {
      // The first row always has enough lines behind it in its block, so this never goes round in circles.
      if (line > 0) break
      bad.push({ row, reason: UNCLOSED, raw: shown(block, line, shape) })
      line++
    } else if (typeof read === 'string') {
      bad.push({ row, reason: read, raw: shown(block, line, shape) })
      line++
    } else {
      rows.push({ row, fields: read.fields })
      line += read.lines
    }
  }
  return { rows, bad, lines: line }
}

const UNCLOSED = 'broken quoting: a quote is opened and never closed'

/** One row from `line` on, or the reason why there is none, or `unfinished` if only the next block can tell. */
function readRow(block: Block, line: number, shape: Shape): { fields: string[]; lines: number } | string {
  let text = ''
  for (let lines = 1; ; lines++) {
    const more = lineText(block, line + lines - 1, shape)
    if (more === null) return lines === 1 ? 'the bytes are not valid in the encoding of the file' : UNCLOSED
    text += more
    if (text.length > MAX_ROW_CHARS)
      return lines === 1 ? 'the row is longer than 131,072 characters' : UNCLOSED
    const read = splitRow(stripBreak(text), shape)
    if (read === 'open') {
      if (lines >= MAX_ROW_LINES) return UNCLOSED
      if (line + lines >= block.ends.length) return block.last ? UNCLOSED : 'unfinished'
      continue
    }
    if (typeof read === 'string') return lines === 1 ? read : UNCLOSED
    const problem = rowProblem(read, shape.width)
    if (problem === null) return { fields: read, lines }
    return lines === 1 ? problem : UNCLOSED
  }
}

function rowProblem(fields: readonly string[], width: number): string | null {
  if (fields.every((field) => field.trim() === '')) return 'the row is empty'
  if (fields.length !== width) return `${fields.length} columns instead of ${width}`
  if (fields.some((field) => field.includes('\0'))) return 'the row has a NUL character'
  return null
}

/** The fields of one line, `open` if a quote is still open at its end, or the reason why it cannot be read. */
export function splitRow(text: string, shape: Pick<Shape, 'delimiter' | 'lineBreak'>): string[] | string {
  if (!text.includes('"')) return text.split(shape.delimiter)
  try {
    return fieldsOf(text, shape)[0] ?? ['']
  } catch (error) {
    if (!(error instanceof CsvError)) throw error
    if (error.code === 'CSV_QUOTE_NOT_CLOSED') return 'open'
    return 'broken quoting: a quote stands where none may stand'
  }
}

function lineText(block: Block, line: number, shape: Pick<Shape, 'decode'>): string | null {
  const from = line === 0 ? 0 : (block.ends[line - 1] ?? 0)
  return shape.decode(block.bytes.subarray(from, block.ends[line]))
}

function shown(block: Block, line: number, shape: Pick<Shape, 'decode'>): string {
  const from = line === 0 ? 0 : (block.ends[line - 1] ?? 0)
  const bytes = block.bytes.subarray(from, block.ends[line])
  const text = shape.decode(bytes) ?? bytes.toString('utf8')
  return stripBreak(text).slice(0, MAX_RAW_CHARS).replaceAll('\0', '\ufffd').toWellFormed()
}

export function stripBreak(text: string): string {
  return text.replace(/(\r\n|\n|\r)$/, '')
}
