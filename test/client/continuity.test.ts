import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { backoff } from '../../client/backoff.js'
import { Continuity } from '../../client/continuity.js'
import { retryAfter } from '../../client/problem.js'

const event = (id: string, flow = 'f') => ({ id, flow, type: 't', payload: null, source: 's', timestamp: '' })
const gap = (from: string, to: string, reason: 'trimmed' | 'lost' | 'unknown') => ({
  flow: 'f',
  from,
  to,
  reason,
})

describe('continuity', () => {
  test('whatever a network repeats or drops, every number is delivered once or named in a gap', () => {
    fc.assert(
      fc.property(fc.array(fc.record({ skip: fc.nat(3), back: fc.nat(5) }), { maxLength: 30 }), (steps) => {
        const continuity = new Continuity()
        continuity.start('f', '0')
        const known: number[] = []
        let top = 0
        for (const { skip, back } of steps) {
          for (let seq = Math.max(1, top - back); seq <= top; seq += 1) {
            expect(continuity.event(event(`1-${seq}`)).duplicate).toBe(true)
          }
          top += skip + 1
          const verdict = continuity.event(event(`1-${top}`))
          if (verdict.gap) {
            const [from, to] = [verdict.gap.from, verdict.gap.to].map((id) => Number(id.split('-')[1]))
            for (let seq = from ?? 0; seq <= (to ?? 0); seq += 1) known.push(seq)
          }
          if (!verdict.duplicate) known.push(top)
        }
        expect(known).toEqual(Array.from({ length: top }, (_, index) => index + 1))
      }),
    )
  })

  test('names the events of an old term whose numbers a new term took', () => {
    const continuity = new Continuity()
    continuity.event(event('1-8'))
    expect(continuity.event(event('2-6'))).toEqual({
      duplicate: false,
      gap: gap('1-6', '1-8', 'lost'),
    })
    expect(continuity.event(event('2-7'))).toEqual({ duplicate: false, gap: undefined })
  })

  test('a new term that goes on counting is no gap', () => {
    const continuity = new Continuity()
    continuity.event(event('1-8'))
    expect(continuity.event(event('2-9')).gap).toBeUndefined()
  })

  test('a gap that the server told is told once, and not found again by counting', () => {
    const continuity = new Continuity()
    continuity.start('f', '1-3')
    expect(continuity.gap(gap('1-4', '1-9', 'trimmed'), undefined)).toBe(true)
    expect(continuity.gap(gap('1-4', '1-9', 'trimmed'), undefined)).toBe(false)
    expect(continuity.event(event('1-10'))).toEqual({ duplicate: false, gap: undefined })
    expect(continuity.gap(gap('1-11', '1-12', 'lost'), '2-10')).toBe(true)
    expect(continuity.event(event('2-11'))).toEqual({ duplicate: false, gap: undefined })
  })

  test('a flow may begin by the clock of a Redis alone, and is counted from there', () => {
    const continuity = new Continuity()
    continuity.start('f', '0')
    expect(continuity.event(event('28000000-28000000123457')).gap).toBeUndefined()
    expect(continuity.event(event('28000000-28000000123458')).gap).toBeUndefined()
    expect(continuity.event(event('28000000-28000000123460')).gap).toMatchObject({ reason: 'unknown' })
    const again = new Continuity()
    again.start('f', '7-0')
    expect(again.event(event('7-1000042')).gap).toBeUndefined()
    const counted = new Continuity()
    counted.start('f', '0')
    expect(counted.event(event('1-3')).gap).toMatchObject({ from: '1-1', to: '1-2', reason: 'unknown' })
  })

  test('flows are counted apart, and the first event of a flow is taken as it comes', () => {
    const continuity = new Continuity()
    expect(continuity.event(event('1-5', 'a')).gap).toBeUndefined()
    expect(continuity.event(event('1-9', 'b')).gap).toBeUndefined()
    expect(continuity.event(event('1-6', 'a')).gap).toBeUndefined()
    expect(continuity.event(event('1-12', 'b')).gap).toMatchObject({ flow: 'b', from: '1-10', to: '1-11' })
  })
})

describe('backoff', () => {
  test('doubles from what the server asked, is bounded, never sooner than Retry-After', () => {
    const full = () => 1
    expect([1, 2, 3, 4].map((attempt) => backoff(attempt, { baseMs: 500, random: full }))).toEqual([
      500, 1000, 2000, 4000,
    ])
    expect(backoff(60, { random: full })).toBe(30_000)
    expect(backoff(1, { baseMs: 0, random: () => 0 })).toBe(50)
    fc.assert(
      fc.property(
        fc.integer({ min: 1, max: 100 }),
        fc.nat(200_000),
        fc.double({ min: 0, max: 0.999, noNaN: true }),
        (attempt, askedMs, random) => {
          const ms = backoff(attempt, { askedMs, random: () => random })
          expect(ms).toBeGreaterThanOrEqual(askedMs)
          expect(ms).toBeLessThanOrEqual(Math.max(30_000, askedMs * 1.25))
        },
      ),
    )
  })

  test('Retry-After is seconds or a date', () => {
    const now = Date.parse('2026-01-18T12:00:00Z')
    expect(retryAfter('3', now)).toBe(3000)
    expect(retryAfter('Sun, 18 Jan 2026 12:00:07 GMT', now)).toBe(7000)
    expect(retryAfter('Sun, 18 Jan 2026 11:00:00 GMT', now)).toBe(0)
    expect(retryAfter('soon', now)).toBeUndefined()
    expect(retryAfter(null, now)).toBeUndefined()
  })
})
