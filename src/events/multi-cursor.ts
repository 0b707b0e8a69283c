import { createHash } from 'node:crypto'
import type { Cursor } from './cursor.js'
import { readRice, riceBits, writeRice } from './rice.js'

/** Raw bytes of a cursor at most: 128 as base64url, beyond which browsers preflight. */
const MAX_BYTES = 96
/** What one more move may need at most: in a direct cursor 7 bytes of seq, and 5 of a term twice. */
const ROOM = 18

const DIRECT = 1
const BASED = 2

/** What an id can hold (cursor.ts). */
const MAX_TERM = 999_999_999
const MAX_SEQ = 999_999_999_999_999

/** Largest Rice parameter that is tried: beyond it a move is an exception, or asks for a new base. */
const MAX_WIDTH = 7

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
  const moves: number[] = []
  const exceptionBits: number[] = []
  for (let i = 0; i < places.length; i++) {
    const { term, seq } = places[i] as Cursor
    const from = base.places[i] as Cursor
    moves.push(from.term === term && seq >= from.seq ? seq - from.seq : Number.POSITIVE_INFINITY)
    exceptionBits.push(8 * (1 + varintBytes(term) + varintBytes(seq)))
  }
  const width = bestWidth(moves, exceptionBits)
  const exceptions: number[] = []
  let count = 0
  const codes = moves.map((move, i) => {
    if (riceBits(move, width) <= (exceptionBits[i] as number) + width + 1) return move
    const { term, seq } = places[i] as Cursor
    count += 1
    pushVarint(exceptions, i)
    pushVarint(exceptions, term)
    pushVarint(exceptions, seq)
    return 0
  })
  const bytes = [BASED, ...mark]
  pushVarint(bytes, base.id)
  bytes.push(width, count, ...exceptions)
  writeRice(bytes, codes, width)
  return bytes
}

function bestWidth(moves: readonly number[], exceptionBits: readonly number[]): number {
  let best = 0
  let least = Number.POSITIVE_INFINITY
  for (let width = 0; width <= MAX_WIDTH; width++) {
    let bits = 0
    for (let i = 0; i < moves.length; i++) {
      bits += Math.min(riceBits(moves[i] as number, width), (exceptionBits[i] as number) + width + 1)
    }
    if (bits < least) {
      least = bits
      best = width
    }
  }
  return best
}

function parseBased(numbers: Varints, flows: number): ParsedMultiCursor | undefined {
  const base = numbers.next()
  const width = numbers.next()
  const count = numbers.next()
  if (!(width <= MAX_WIDTH && count <= flows)) return undefined
  const exceptions = new Map<number, Cursor>()
  for (let i = 0; i < count; i++) {
    const index = numbers.next()
    const place = placeOf(numbers.next(), numbers.next())
    if (!place || !(index < flows)) return undefined
    exceptions.set(index, place)
  }
  const moves = readRice(numbers.rest(), flows, width)
  return moves && { base, moves: moves.map((move, i) => exceptions.get(i) ?? move) }
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

function varintBytes(value: number): number {
  let bytes = 1
  for (let limit = 128; value >= limit; limit *= 128) bytes += 1
  return bytes
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
