import { type FileHandle, open } from 'node:fs/promises'
import { DiscoveryError, systemCode } from '../errors.js'
import { byteOrderMark, decoder, type Encoding, guessEncoding, noEvidence, weigh } from './encoding.js'
import { type LineBreak, LineReader } from './lines.js'
import { splitRow, stripBreak } from './records.js'

export const DELIMITERS = [',', ';', '\t', '|'] as const
/** Bytes that are looked at to tell the encoding and to count the lines. */
const SURVEY_BYTES = 64 << 20
const SAMPLE_LINES = 200
const MAX_COLUMNS = 500
const MAX_HEADER_CHARS = 120

/** How a table is written, and where its rows begin. */
export interface Format {
  readonly encoding: Encoding
  readonly delimiter: string
  readonly lineBreak: LineBreak
  /** Column names: trimmed, never empty, each once. */
  readonly columns: readonly string[]
  /** Offset of the first row in bytes, and its line number. */
  readonly offset: number
  readonly row: number
  readonly bytes: number
  /** Lines of the file; null for a file too large to be counted beforehand. */
  readonly lines: number | null
}

/**
 * Opens a table and tells how it is written.
 * Errors: `FILE_NOT_FOUND`, `FILE_NOT_A_FILE`, `FILE_UNREADABLE`, `FILE_EMPTY`, `FILE_BINARY`,
 * `FILE_HEADER_ONLY`, `TOO_MANY_COLUMNS`.
 */
export async function inspectFile(path: string): Promise<Format> {
  const file = await openFile(path)
  try {
    return await inspect(file)
  } finally {
    await file.close()
  }
}

/** Opens for reading, with the errors of `inspectFile`. */
export async function openFile(path: string): Promise<FileHandle> {
  let file: FileHandle
  try {
    file = await open(path, 'r')
  } catch (error) {
    if (systemCode(error) === 'ENOENT')
      throw new DiscoveryError('FILE_NOT_FOUND', 'There is no such file', error)
    if (systemCode(error) === 'EISDIR')
      throw new DiscoveryError('FILE_NOT_A_FILE', 'This is a folder, not a file', error)
    throw new DiscoveryError(
      'FILE_UNREADABLE',
      `The file cannot be opened (${systemCode(error) ?? 'unknown'})`,
      error,
    )
  }
  const kind = await file.stat()
  if (kind.isFile()) return file
  await file.close()
  throw new DiscoveryError(
    'FILE_NOT_A_FILE',
    kind.isDirectory() ? 'This is a folder, not a file' : 'This is not a regular file',
  )
}

async function inspect(file: FileHandle): Promise<Format> {
  const { size } = await file.stat()
  if (size === 0) throw new DiscoveryError('FILE_EMPTY', 'The file is empty')
  const survey = await lookOver(file)
  const mark = byteOrderMark(survey.head)
  const encoding = mark?.encoding ?? guessEncoding(survey.head, survey.evidence)
  if (encoding === null || isArchive(survey.head)) {
    throw new DiscoveryError('FILE_BINARY', 'This is not a text file; a workbook must first be saved as CSV')
  }
  const { lineFeeds, carriageReturns } = survey.evidence
  const lineBreak: LineBreak = lineFeeds === 0 && carriageReturns > 0 ? 'cr' : 'lf'
  const breaks = lineBreak === 'lf' ? lineFeeds : carriageReturns
  const open = survey.final === 0x0a || survey.final === 0x0d || survey.final === 0 ? 0 : 1
  const lines = survey.whole ? breaks + open : null
  const start = await readHeader(file, encoding, lineBreak, mark?.length ?? 0)
  if (start.offset >= size) throw new DiscoveryError('FILE_HEADER_ONLY', 'The file has a header but no rows')
  return { encoding, lineBreak, bytes: size, lines, ...start }
}

/** Reads up to `SURVEY_BYTES` once: enough to see a first umlaut far down in the file. */
async function lookOver(file: FileHandle) {
  const evidence = noEvidence()
  const chunk = Buffer.alloc(1 << 20)
  let head = Buffer.alloc(0)
  let final = 0
  for (let at = 0; at < SURVEY_BYTES; ) {
    const { bytesRead } = await file.read(chunk, 0, chunk.length, at)
    if (at === 0) head = Buffer.from(chunk.subarray(0, Math.min(bytesRead, 64 << 10)))
    const weighed = weigh(evidence, chunk.subarray(0, bytesRead))
    if (weighed === 0) {
      evidence.malformed += bytesRead
      return { head, evidence, final, whole: true }
    }
    final = chunk[weighed - 1] ?? 0
    at += weighed
  }
  return { head, evidence, final, whole: false }
}

function isArchive(head: Uint8Array): boolean {
  const magic = Buffer.from(head.subarray(0, 4)).toString('latin1')
  return (
    magic.startsWith('PK\u0003\u0004') ||
    magic === '%PDF' ||
    magic.startsWith('\u001f\u008b') ||
    magic === '\u00d0\u00cf\u0011\u00e0'
  )
}

async function readHeader(file: FileHandle, encoding: Encoding, lineBreak: LineBreak, offset: number) {
  const reader = new LineReader(file, encoding, lineBreak, offset)
  const block = await reader.block(SAMPLE_LINES)
  const decode = decoder(encoding)
  const lines: { text: string; end: number }[] = []
  if (block !== null && !block.overlong) {
    for (const [i, end] of block.ends.entries()) {
      const bytes = block.bytes.subarray(i === 0 ? 0 : block.ends[i - 1], end)
      lines.push({ text: decode(bytes) ?? bytes.toString('latin1'), end: offset + end })
    }
  }
  let first = lines.findIndex((line) => line.text.trim() !== '')
  const declared = /^"?sep=(.)"?$/i.exec(stripBreak(lines[first]?.text ?? ''))?.[1]
  if (declared !== undefined) first = lines.findIndex((line, i) => i > first && line.text.trim() !== '')
  if (first < 0) throw new DiscoveryError('FILE_EMPTY', 'The file has no header and no rows')
  const delimiter = declared ?? guessDelimiter(lines.slice(first).map((line) => line.text))
  const { names, count } = headerNames(
    lines.slice(first).map((line) => line.text),
    { delimiter, lineBreak },
  )
  if (names.length > MAX_COLUMNS) {
    throw new DiscoveryError(
      'TOO_MANY_COLUMNS',
      `The file has ${names.length} columns; ${MAX_COLUMNS} are allowed`,
    )
  }
  const end = lines[first + count - 1]
  return { delimiter, columns: names, offset: end?.end ?? offset, row: first + count + 1 }
}

function headerNames(lines: readonly string[], shape: { delimiter: string; lineBreak: LineBreak }) {
  let text = ''
  for (const [i, line] of lines.entries()) {
    text += line
    const fields = splitRow(stripBreak(text), shape)
    if (typeof fields !== 'string') return { names: uniqueNames(fields), count: i + 1 }
    if (fields !== 'open') break
  }
  const plain = stripBreak(lines[0] ?? '').split(shape.delimiter)
  return { names: uniqueNames(plain.map((field) => field.replaceAll('"', ''))), count: 1 }
}

function uniqueNames(fields: readonly string[]): string[] {
  const seen = new Set<string>()
  return fields.map((field, i) => {
    const clean = field
      .replace(/[\p{Cc}\s]+/gu, ' ')
      .trim()
      .slice(0, MAX_HEADER_CHARS)
      .toWellFormed()
    const name = clean === '' ? `column ${i + 1}` : clean
    let unique = name
    for (let n = 2; seen.has(unique); n++) unique = `${name} (${n})`
    seen.add(unique)
    return unique
  })
}

/** The delimiter that cuts most lines into the same number of fields, more than one; quoted text is left out. */
export function guessDelimiter(lines: readonly string[]): string {
  let best: string = ','
  let bestScore = 0
  for (const delimiter of DELIMITERS) {
    const counts = lines
      .filter((line) => line.trim() !== '')
      .map((line) => outsideQuotes(line).split(delimiter).length)
    const tally = new Map<number, number>()
    for (const count of counts) tally.set(count, (tally.get(count) ?? 0) + 1)
    const [mode = 1, times = 0] = [...tally].sort((a, b) => b[1] - a[1] || b[0] - a[0])[0] ?? []
    const agrees = mode === counts[0] ? 1 : 0.5
    const score = mode < 2 ? 0 : (times / counts.length) * agrees * (1 + Math.min(mode, 30) / 100)
    if (score > bestScore) {
      best = delimiter
      bestScore = score
    }
  }
  return best
}

function outsideQuotes(line: string): string {
  return line.replace(/"[^"]*"/g, '')
}
