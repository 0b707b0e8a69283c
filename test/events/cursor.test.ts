import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { formatId, parseCursor, requireCursor, resume } from '../../src/events/cursor.js'
import type { Position } from '../../src/events/log.js'

const position: fc.Arbitrary<Position> = fc
  .record({
    term: fc.integer({ min: 1, max: 4 }),
    head: fc.integer({ min: 0, max: 30 }),
    from: fc.double({ min: 0, max: 1, noNaN: true }),
    floor: fc.double({ min: 0, max: 1, noNaN: true }),
  })
  .map(({ term, head, from, floor }) => ({
    term,
    head,
    termFrom: term === 1 ? 1 : 1 + Math.floor(from * head),
    floor: Math.floor(floor * head),
  }))
const cursor = fc.record({ term: fc.integer({ min: 0, max: 5 }), seq: fc.integer({ min: 0, max: 40 }) })

describe('a cursor', () => {
  it('is read as it was written', () => {
    fc.assert(
      fc.property(fc.nat(999_999_999), fc.nat(2 ** 49), (term, seq) => {
        expect(parseCursor(formatId(term, seq))).toEqual({ term, seq })
      }),
    )
    expect(parseCursor('0')).toEqual({ term: 0, seq: 0 })
  })

  it.each([
    '',
    ' ',
    '1',
    '-',
    '1-',
    '-1',
    '1-1 ',
    ' 1-1',
    '1-1\n',
    '01-1',
    '1-01',
    '1--1',
    '+1-1',
    '1-1.0',
    '1e3-1',
    '0x1-1',
    '1-9999999999999999',
    '9999999999-1',
    '１-１',
    'NaN-NaN',
    '1-1-1',
    '00',
  ])('is not %j', (text) => {
    expect(parseCursor(text)).toBeUndefined()
    expect(() => requireCursor(text)).toThrow(
      expect.objectContaining({ code: 'INVALID_CURSOR', status: 400 }),
    )
  })
})

describe('resuming', () => {
  it('has an answer for every cursor: a place in the log, and a gap for whatever the reader will not get', () => {
    fc.assert(
      fc.property(position, cursor, (at, from) => {
        const { after, gap } = resume(at, from)
        expect(after).toBeGreaterThanOrEqual(0)
        expect(after).toBeLessThanOrEqual(at.head)
        if (!gap) {
          expect(after).toBe(from.seq)
          expect(after).toBeGreaterThanOrEqual(at.floor)
          return
        }
        const [first, last] = [parseCursor(gap.from), parseCursor(gap.to)]
        if (!first || !last) throw new Error('a gap names events')
        expect(first.seq).toBeLessThanOrEqual(last.seq)
        expect(first.seq).toBeGreaterThan(0)
        if (gap.reason === 'trimmed') {
          // What is gone joins the reader's place to the first event that it gets.
          expect([first.seq, last.seq]).toEqual([from.seq + 1, after])
          expect(after).toBe(at.floor)
        } else {
          // What is void is the end of what the reader had.
          expect([last.term, last.seq]).toEqual([from.term, from.seq])
        }
      }),
      { numRuns: 2000 },
    )
  })

  it('comes to an end: asked again and again with its own answer, it leads to a place without a gap', () => {
    fc.assert(
      fc.property(position, cursor, (at, from) => {
        let place = from
        let steps = 0
        const told: string[] = []
        for (let answer = resume(at, place); answer.gap; answer = resume(at, place)) {
          told.push(answer.gap.reason)
          place = { term: at.term, seq: answer.after }
          expect(++steps).toBeLessThanOrEqual(2)
        }
        // Every event that is kept behind the place will come; what lies before it was seen, or named.
        expect(place.seq).toBeGreaterThanOrEqual(at.floor)
        if (told.length === 0) expect(place.seq).toBe(from.seq)
      }),
      { numRuns: 2000 },
    )
  })

  it('names what was trimmed of the new term as well as what was lost of the old one', () => {
    const at = { term: 2, termFrom: 6, head: 20, floor: 8 }
    const lost = resume(at, { term: 1, seq: 7 })
    expect(lost).toEqual({ term: 2, after: 5, gap: { from: '1-6', to: '1-7', reason: 'lost' } })
    expect(resume(at, { term: 2, seq: lost.after })).toEqual({
      term: 2,
      after: 8,
      gap: { from: '2-6', to: '2-8', reason: 'trimmed' },
    })
  })
})

describe('in a fast flow, whose store has changed', () => {
  /** Read in reign 7; the store has numbered 3 to 10 in term 5, and nothing since. */
  const behind = { term: 5, termFrom: 3, head: 10, floor: 0, reign: { number: 7, certain: true } }

  it('a reader keeps what the reigning store was never told of, and waits behind it', () => {
    expect(resume(behind, { term: 6, seq: 12 })).toEqual({ term: 6, after: 12, gap: undefined })
    expect(resume(behind, { term: 5, seq: 12 })).toEqual({ term: 5, after: 12, gap: undefined })
  })
  it('a cursor keeps its term, under which another store may give the same numbers', () => {
    expect(resume(behind, { term: 6, seq: 8 })).toEqual({ term: 6, after: 8, gap: undefined })
  })
  it('a store that has lost everything sends nobody back to the beginning', () => {
    const lost = { ...behind, term: 7, termFrom: Number.MAX_SAFE_INTEGER, head: 0 }
    expect(resume(lost, { term: 6, seq: 12 })).toEqual({ term: 6, after: 12, gap: undefined })
    expect(resume(lost, { term: 7, seq: 12 })).toEqual({ term: 7, after: 12, gap: undefined })
  })
  it('a cursor of a later reign is waited for by an instance that may not have heard of it', () => {
    const unsure = { ...behind, reign: { number: 7, certain: false } }
    expect(resume(unsure, { term: 8, seq: 4 })).toEqual({ term: 8, after: 4, gap: undefined })
  })
  it('a reader keeps what a store does not have that may not be the reigning one', () => {
    const other = { ...behind, term: 7, reign: { number: 7, certain: false } }
    expect(resume(other, { term: 7, seq: 12 })).toEqual({ term: 7, after: 12, gap: undefined })
  })
  it('a cursor of a reign that surely never was is nobody’s', () => {
    expect(resume(behind, { term: 8, seq: 4 })).toMatchObject({ after: 0, gap: { reason: 'unknown' } })
  })
  it('a cursor beyond what the reigning store has itself numbered is nobody’s', () => {
    const own = { ...behind, term: 7 }
    expect(resume(own, { term: 7, seq: 11 })).toMatchObject({ after: 10, gap: { reason: 'unknown' } })
  })
})
