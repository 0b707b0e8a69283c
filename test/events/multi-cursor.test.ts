import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import type { Cursor } from '../../src/events/cursor.js'
import {
  applyMoves,
  type CursorBase,
  cursorMark,
  formatMultiCursor,
  hasRoom,
  parseMultiCursor,
} from '../../src/events/multi-cursor.js'

const term = fc.oneof(
  fc.constant(1),
  fc.integer({ min: 1, max: 3 }),
  fc.integer({ min: 0, max: 999_999_999 }),
)
const seq = fc.oneof(
  fc.nat({ max: 200 }),
  fc.nat({ max: 100_000 }),
  fc.integer({ min: 0, max: 999_999_999_999_999 }),
)
const place: fc.Arbitrary<Cursor> = fc.record({ term, seq })
const flows = fc.oneof(fc.integer({ min: 1, max: 6 }), fc.integer({ min: 7, max: 100 }))
const id = fc.oneof(fc.integer({ min: 1, max: 5000 }), fc.integer({ min: 1, max: Number.MAX_SAFE_INTEGER }))
const mark = cursorMark('acme', ['a', 'b'])

/** A base, and places that went some way from it: mostly a little forward. */
const based = flows.chain((n) =>
  fc
    .tuple(
      id,
      fc.array(place, { minLength: n, maxLength: n }),
      fc.array(fc.oneof({ weight: 5, arbitrary: fc.nat({ max: 60 }) }, { weight: 1, arbitrary: place }), {
        minLength: n,
        maxLength: n,
      }),
    )
    .map(([baseId, places, moves]) => {
      const base: CursorBase = { id: baseId, places }
      return { base, places: applyMoves(places, moves) }
    }),
)

function read(text: string, count: number, base?: CursorBase): readonly Cursor[] | undefined {
  const parsed = parseMultiCursor(text, mark, count)
  if (!parsed) return undefined
  if ('places' in parsed) return parsed.places
  expect(parsed.base).toBe(base?.id)
  return applyMoves(base?.places ?? [], parsed.moves)
}

describe('a cursor over several flows', () => {
  test('says the places that it was made of, in at most 128 safe characters', () => {
    fc.assert(
      fc.property(based, ({ base, places }) => {
        for (const from of [undefined, base]) {
          const text = formatMultiCursor(mark, places, from)
          if (text === undefined) continue
          expect(text).toMatch(/^[A-Za-z0-9_-]{1,128}$/)
          expect(read(text, places.length, base)).toEqual(places)
        }
      }),
      { numRuns: 1500 },
    )
  })

  test('on a fresh base always fits, with room', () => {
    fc.assert(
      fc.property(based, ({ base }) => {
        const text = formatMultiCursor(mark, base.places, base)
        expect(text !== undefined && hasRoom(text)).toBe(true)
      }),
    )
  })

  test('with room takes any next move of any flow', () => {
    fc.assert(
      fc.property(based, fc.nat(), place, ({ base, places }, which, next) => {
        for (const from of [undefined, base]) {
          const before = formatMultiCursor(mark, places, from)
          if (before === undefined || !hasRoom(before)) continue
          const moved = places.with(which % places.length, next)
          const after = formatMultiCursor(mark, moved, from)
          expect(after).toBeDefined()
          expect(read(after as string, places.length, base)).toEqual(moved)
        }
      }),
      { numRuns: 3000 },
    )
  })

  test('goes a long way between two bases, so that a busy reader seldom stores one', () => {
    const places: Cursor[] = Array.from({ length: 100 }, () => ({ term: 1, seq: 1000 }))
    const base = { id: 123_456, places: [...places] }
    let events = 0
    for (let text: string | undefined = ''; text !== undefined && hasRoom(text); events++) {
      const at = (events * 37) % places.length
      places[at] = { term: 1, seq: (places[at] as Cursor).seq + 1 }
      text = formatMultiCursor(mark, places, base)
    }
    expect(events).toBeGreaterThan(1000)
  })

  test('of other flows, of another tenant or cut short is nobody’s, and nothing makes the reader throw', () => {
    const other = cursorMark('acme', ['a', 'c'])
    const foreign = cursorMark('acme2', ['a', 'b'])
    fc.assert(
      fc.property(based, fc.nat(), fc.nat(), ({ base, places }, cut, change) => {
        for (const from of [undefined, base]) {
          const text = formatMultiCursor(mark, places, from)
          if (text === undefined) continue
          expect(parseMultiCursor(text, other, places.length)).toBeUndefined()
          expect(parseMultiCursor(text, foreign, places.length)).toBeUndefined()
          const short = text.slice(0, cut % text.length)
          expect(parseMultiCursor(short, mark, places.length)).toBeUndefined()
          const at = change % text.length
          const tampered = `${text.slice(0, at)}${'AZaz09-_'[change % 8]}${text.slice(at + 1)}`
          const parsed = parseMultiCursor(tampered, mark, places.length)
          // A changed place is a place that a client may choose; it must only be one.
          const result =
            parsed && ('places' in parsed ? parsed.places : applyMoves(base.places, parsed.moves))
          for (const { term: t, seq: s } of result ?? []) {
            expect(Number.isSafeInteger(t) && Number.isSafeInteger(s) && t >= 0 && s >= 0).toBe(true)
          }
        }
      }),
      { numRuns: 1000 },
    )
  })

  test('is never made of any other text', () => {
    const base64url = fc
      .uint8Array({ maxLength: 120 })
      .map((bytes) => Buffer.from(bytes).toString('base64url'))
    const marked = fc
      .tuple(fc.constantFrom(1, 2), fc.uint8Array({ maxLength: 91 }))
      .map(([kind, bytes]) => Buffer.from([kind, ...mark, ...bytes]).toString('base64url'))
    fc.assert(
      fc.property(fc.oneof(fc.string({ unit: 'binary' }), base64url, marked), flows, (text, n) => {
        const parsed = parseMultiCursor(text, mark, n)
        if (parsed && 'places' in parsed) expect(parsed.places).toHaveLength(n)
        if (parsed && 'moves' in parsed) expect(parsed.moves).toHaveLength(n)
      }),
      { numRuns: 3000 },
    )
  })

  test('has a mark that depends on every name and on where it ends', () => {
    expect(cursorMark('t', ['a', 'b'])).not.toEqual(cursorMark('t', ['ab']))
    expect(cursorMark('t', ['a'])).not.toEqual(cursorMark('ta', []))
    expect(cursorMark('t', ['a,b'])).not.toEqual(cursorMark('t', ['a', 'b']))
  })
})
