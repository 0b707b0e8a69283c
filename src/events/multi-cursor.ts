import { createHash } from 'node:crypto'
import { type Bits, readBits, writeBits } from './bits.js'
import type { Cursor } from './cursor.js'

/** Raw bytes of a cursor at most: 128 as base64url, beyond which browsers preflight. */
const MAX_BYTES = 96
/** What one more move may need at most: in a direct cursor 7 bytes of seq, and 5 of a term twice. */
const ROOM = 18

const DIRECT = 1
const BASED = 2

/** What an id can hold (cursor.ts). */
const MAX_TERM = 999_999_999
const MAX_SEQ = 999_999_999_999_999

/** Rice parameters that are tried: beyond them a move is an exception, or asks for a new base. */
const WIDTHS = [0, 1, 2, 3, 4, 5, 6, 7]

/** A stored set of places that cursors refer to. */
export interface CursorBase {
  readonly id: number
  readonly places: readonly Cursor[]
}

/** How far each flow has come since a base: by how many events, or to which place. */
export type Moves = readonly (number | Cursor)[]

/** What a cursor's text says before its base, if it has one, is looked up. */
export type ParsedMultiCursor =
  | { readonly places: readonly Cursor[] }
  | { readonly base: number; readonly moves: Moves }

/**
 * The cursor of a reader of several flows: the places themselves while they fit, else a stored base and what
 * has moved since. Bound to the tenant and the flows, in their order. Undefined if it would be too long.
 */
export function formatMultiCursor(
  mark: Buffer,
  places: readonly Cursor[],
  base: CursorBase | undefined,
): string | undefined {
  const bytes = base ? formatBased(mark, places, base) : formatDirect(mark, places)
  return bytes.length <= MAX_BYTES ? Buffer.from(bytes).toString('base64url') : undefined
}

/** Whether a cursor of this length leaves room for one more flow to move, wherever to. */
export function hasRoom(cursor: string): boolean {
  return (cursor.length * 3) / 4 + ROOM <= MAX_BYTES
}

/** Reads a cursor of this tenant's reader of these flows; undefined for anything else. */
export function parseMultiCursor(text: string, mark: Buffer, flows: number): ParsedMultiCursor | undefined {
  if (text.length > 128 || !/^[A-Za-z0-9_-]+$/.test(text)) return undefined
  const bytes = Buffer.from(text, 'base64url')
  if (!bytes.subarray(1, 1 + mark.length).equals(mark)) return undefined
  const rest = new Varints(bytes, 1 + mark.length)
  if (bytes[0] === DIRECT) return parseDirect(rest, flows)
  return bytes[0] === BASED ? parseBased(rest, flows) : undefined
}

/** The places that a based cursor stands for. */
export function applyMoves(places: readonly Cursor[], moves: Moves): Cursor[] {
  return places.map(({ term, seq }, i) => {
    const move = moves[i] ?? 0
    return typeof move === 'number' ? { term, seq: Math.min(seq + move, MAX_SEQ) } : move
  })
}

/** Four bytes that a cursor of this tenant and these flows begins with. */
export function cursorMark(tenant: string, flows: readonly string[]): Buffer {
  return createHash('sha256')
    .update(JSON.stringify([tenant, ...flows]))
    .digest()
    .subarray(0, 4)
}

function formatDirect(mark: Buffer, places: readonly Cursor[]): number[] {
  const bytes = [DIRECT, ...mark]
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
  return bytes
}

function parseDirect(numbers: Varints, flows: number): ParsedMultiCursor | undefined {
  const places: Cursor[] = []
  let term = 0
  while (!numbers.over) {
    const value = numbers.next()
    if (value % 2 === 1) term = numbers.next()
    const place = placeOf(term, Math.floor(value / 2))
    if (!place) return undefined
    places.push(place)
  }
  return places.length === flows ? { places } : undefined
}

/**
 * Moves as Golomb-Rice codes (a flow that stands still costs one to eight bits), with the few that are cheaper
 * as a place of their own, or went back, before them: hundreds of events fit between two stored bases.
 */
function formatBased(mark: Buffer, places: readonly Cursor[], base: CursorBase): number[] {
  const moves = places.map(({ term, seq }, i) => {
    const from = base.places[i] as Cursor
    return from.term === term && seq >= from.seq ? seq - from.seq : -1
  })
  const own = places.map(placeBytes)
  let best = { width: 0, bits: Number.POSITIVE_INFINITY }
  for (const width of WIDTHS) {
    let bits = 0
    moves.forEach((move, i) => {
      bits += Math.min(riceBits(move, width), 8 * (own[i]?.length ?? 0) + 8 + width + 1)
    })
    if (bits < best.bits) best = { width, bits }
  }
  const { width } = best
  const exceptions: number[] = []
  let count = 0
  const codes: Bits[] = moves.map((move, i) => {
    const place = own[i] as number[]
    if (riceBits(move, width) <= 8 * place.length + 8 + width + 1) {
      return { ones: Math.floor(move / 2 ** width), rest: move % 2 ** width }
    }
    count += 1
    exceptions.push(i, ...place)
    return { ones: 0, rest: 0 }
  })
  const bytes = [BASED, ...mark]
  pushVarint(bytes, base.id)
  return [...bytes, width, count, ...exceptions, ...writeBits(codes, width)]
}

function parseBased(numbers: Varints, flows: number): ParsedMultiCursor | undefined {
  const base = numbers.next()
  const width = numbers.next()
  const count = numbers.next()
  if (!(width < WIDTHS.length && count <= flows)) return undefined
  const exceptions = new Map<number, Cursor>()
  for (let i = 0; i < count; i++) {
    const index = numbers.next()
    const place = placeOf(numbers.next(), numbers.next())
    if (!place || !(index < flows)) return undefined
    exceptions.set(index, place)
  }
  const codes = readBits(numbers.rest(), flows, width)
  return (
    codes && { base, moves: codes.map(({ ones, rest }, i) => exceptions.get(i) ?? ones * 2 ** width + rest) }
  )
}

/** Bits of a move as a Rice code; one that went back has none. */
function riceBits(move: number, width: number): number {
  return move < 0 ? Number.POSITIVE_INFINITY : Math.floor(move / 2 ** width) + 1 + width
}

function placeBytes({ term, seq }: Cursor): number[] {
  const bytes: number[] = []
  pushVarint(bytes, term)
  pushVarint(bytes, seq)
  return bytes
}

function placeOf(term: number, seq: number): Cursor | undefined {
  return term <= MAX_TERM && seq <= MAX_SEQ ? { term, seq } : undefined
}

function pushVarint(bytes: number[], value: number): void {
  let rest = value
  while (rest >= 128) {
    bytes.push((rest % 128) + 128)
    rest = Math.floor(rest / 128)
  }
  bytes.push(rest)
}

/** Reads numbers one after another; NaN where there is none, which no comparison lets pass. */
class Varints {
  readonly #bytes: Buffer
  #at: number

  constructor(bytes: Buffer, at: number) {
    this.#bytes = bytes
    this.#at = at
  }

  get over(): boolean {
    return this.#at >= this.#bytes.length
  }

  next(): number {
    let value = 0
    for (let scale = 1; ; scale *= 128) {
      const byte = this.#bytes[this.#at++]
      if (byte === undefined) return Number.NaN
      value += (byte & 127) * scale
      if (!Number.isSafeInteger(value)) return Number.NaN
      if (byte < 128) return value
    }
  }

  rest(): Buffer {
    return this.#bytes.subarray(this.#at)
  }
}
