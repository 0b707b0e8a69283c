import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { onTestFinished } from 'vitest'
import type { Encoding } from '../../examples/discovery/read/encoding.js'
import { type Format, inspectFile } from '../../examples/discovery/read/format.js'
import type { BadRow, Row } from '../../examples/discovery/read/records.js'
import { type Place, Table } from '../../examples/discovery/read/table.js'

/** A folder of the running test's own. */
export async function testFolder(): Promise<string> {
  const path = await mkdtemp(join(tmpdir(), 'spillway-discovery-'))
  onTestFinished(() => rm(path, { recursive: true, force: true }))
  return path
}

export async function testFile(content: string | Uint8Array, name = 'table.csv'): Promise<string> {
  const path = join(await testFolder(), name)
  await writeFile(path, content)
  return path
}

const HIGH_1252 = '€‚ƒ„…†‡ˆ‰Š‹ŒŽ‘’“”•–—˜™š›œžŸ'
const HIGH_1252_BYTES = [
  0x80, 0x82, 0x83, 0x84, 0x85, 0x86, 0x87, 0x88, 0x89, 0x8a, 0x8b, 0x8c, 0x8e, 0x91, 0x92, 0x93, 0x94, 0x95,
  0x96, 0x97, 0x98, 0x99, 0x9a, 0x9b, 0x9c, 0x9e, 0x9f,
]

/** An encoder of its own, so that the reader is not tested against itself. */
export function encode(text: string, encoding: Encoding): Buffer {
  if (encoding === 'utf-8') return Buffer.from(text, 'utf8')
  if (encoding === 'utf-16le') return Buffer.from(text, 'utf16le')
  if (encoding === 'utf-16be') return Buffer.from(text, 'utf16le').swap16()
  return Buffer.from(
    Array.from(text, (c) => {
      const high = HIGH_1252.indexOf(c)
      return high >= 0 ? (HIGH_1252_BYTES[high] ?? 0) : c.charCodeAt(0)
    }),
  )
}

/** Writes a table as RFC 4180 says, quoting where needed or everywhere. */
export function writeTable(
  rows: readonly (readonly string[])[],
  delimiter: string,
  lineEnd: string,
  quoteAll = false,
): string {
  const field = (value: string) =>
    quoteAll || value.includes(delimiter) || /["\r\n]/.test(value)
      ? `"${value.replaceAll('"', '""')}"`
      : value
  return rows.map((row) => row.map(field).join(delimiter) + lineEnd).join('')
}

/** Reads a whole file; `lines` is the size of its batches. */
export async function readAll(path: string, format?: Format, lines = 1000, from?: Place) {
  const shape = format ?? (await inspectFile(path))
  const table = await Table.open(path, shape, from)
  const rows: Row[] = []
  const bad: BadRow[] = []
  const places: Place[] = []
  for (let batch = await table.batch(lines); batch !== null; batch = await table.batch(lines)) {
    rows.push(...batch.rows)
    bad.push(...batch.bad)
    places.push(batch.next)
  }
  await table.close()
  return { format: shape, rows, bad, places }
}
