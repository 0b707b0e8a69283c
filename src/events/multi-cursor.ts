import { createHash } from 'node:crypto'
import type { Cursor } from './cursor.js'

/** Raw bytes of a cursor at most: 128 as base64url, beyond which browsers preflight. */
const MAX_BYTES = 96
/** What one more changed flow may need: its place, and how far it has come. */
const ROOM = 10

const DIRECT = 1
const BASED = 2

/** A stored set of places that cursors refer to. */
export interface CursorBase {
  readonly id: number
  readonly places: readonly Cursor[]
}

/** What a cursor's text says before its base, if it has one, is looked up. */
export type ParsedMultiCursor =
  | { readonly places: readonly Cursor[] }
  | {
      readonly base: number
      readonly moved: readonly (readonly [place: number, term: number, seq: number])[]
    }

/**
 * The cursor of a reader of several flows: the places themselves while they fit, else a stored base and what
 * has moved since. Bound to the tenant and the flows, in their order.
 */
export function formatMultiCursor(
  mark: Buffer,
  places: readonly Cursor[],
  base: CursorBase | undefined,
): string | undefined {
  const bytes: number[] = []
  if (base) {
    bytes.push(BASED, ...mark)
    pushVarint(bytes, base.id)
    for (const [i, { term, seq }] of places.entries()) {
      const from = base.places[i] as Cursor
      if (from.term === term && from.seq === seq) continue
      pushVarint(bytes, i)
      pushVarint(bytes, term - from.term)
      pushVarint(bytes, term === from.term ? seq - from.seq : seq)
    }
  } else {
    bytes.push(DIRECT, ...mark)
    let term = 0
    for (const place of places) {
      // An odd number announces another term than the flow before had.
      if (place.term === term) pushVarint(bytes, place.seq * 2)
      else {
        pushVarint(bytes, place.seq * 2 + 1)
        pushVarint(bytes, place.term)
        term = place.term
      }
    }
  }
  return bytes.length <= MAX_BYTES ? Buffer.from(bytes).toString('base64url') : undefined
}

/** Whether a cursor of this length leaves room for one more flow to move. */
export function hasRoom(cursor: string): boolean {
  return (cursor.length * 3) / 4 + ROOM <= MAX_BYTES
}

/** Reads a cursor of this tenant's reader of these flows; undefined for anything else. */
export function parseMultiCursor(text: string, mark: Buffer, flows: number): ParsedMultiCursor | undefined {
  if (text.length > 128 || !/^[A-Za-z0-9_-]+$/.test(text)) return undefined
  const bytes = Buffer.from(text, 'base64url')
  if (!bytes.subarray(1, 1 + mark.length).equals(mark)) return undefined
  const numbers = readVarints(bytes.subarray(1 + mark.length))
  if (!numbers) return undefined
  if (bytes[0] === DIRECT) return readDirect(numbers, flows)
  return bytes[0] === BASED ? readBased(numbers, flows) : undefined
}

/** The places that a based cursor stands for. */
export function applyMoves(
  places: readonly Cursor[],
  moved: readonly (readonly [place: number, term: number, seq: number])[],
): Cursor[] {
  const result = [...places]
  for (const [i, term, seq] of moved) {
    const from = places[i]
    if (from) result[i] = { term: from.term + term, seq: term === 0 ? from.seq + seq : seq }
  }
  return result
}

/** Four bytes that a cursor of this tenant and these flows begins with. */
export function cursorMark(tenant: string, flows: readonly string[]): Buffer {
  return createHash('sha256')
    .update(JSON.stringify([tenant, ...flows]))
    .digest()
    .subarray(0, 4)
}

function readDirect(numbers: readonly number[], flows: number): ParsedMultiCursor | undefined {
  const places: Cursor[] = []
  let term = 0
  for (let i = 0; i < numbers.length; i++) {
    const value = numbers[i] as number
    if (value % 2 === 1) {
      const next = numbers[++i]
      if (next === undefined) return undefined
      term = next
    }
    places.push({ term, seq: Math.floor(value / 2) })
  }
  return places.length === flows ? { places } : undefined
}

function readBased(numbers: readonly number[], flows: number): ParsedMultiCursor | undefined {
  const [base, ...rest] = numbers
  if (base === undefined || rest.length % 3 !== 0) return undefined
  const moved: [number, number, number][] = []
  for (let i = 0; i < rest.length; i += 3) {
    const [place, term, seq] = rest.slice(i, i + 3) as [number, number, number]
    if (place >= flows) return undefined
    moved.push([place, term, seq])
  }
  return { base, moved }
}

function pushVarint(bytes: number[], value: number): void {
  let rest = value
  while (rest >= 128) {
    bytes.push((rest % 128) + 128)
    rest = Math.floor(rest / 128)
  }
  bytes.push(rest)
}

function readVarints(bytes: Buffer): number[] | undefined {
  const numbers: number[] = []
  let value = 0
  let scale = 1
  for (const byte of bytes) {
    value += (byte & 127) * scale
    if (!Number.isSafeInteger(value)) return undefined
    scale *= 128
    if (byte < 128) {
      numbers.push(value)
      value = 0
      scale = 1
    }
  }
  return scale === 1 ? numbers : undefined
}
