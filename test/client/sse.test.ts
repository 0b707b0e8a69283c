import { createParser } from 'eventsource-parser'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { type SseItem, SseOverflow, SseParser } from '../../client/sse.js'

const bytes = (text: string) => new TextEncoder().encode(text)

/** Parses the whole in the pieces that end at these places. */
function parse(whole: Uint8Array, cuts: readonly number[] = []): SseItem[] {
  const parser = new SseParser()
  const ends = [...new Set(cuts.map((cut) => cut % (whole.length + 1)))].sort((a, b) => a - b)
  let start = 0
  const items: SseItem[] = []
  for (const end of [...ends, whole.length]) {
    items.push(...parser.push(whole.subarray(start, end)))
    start = end
  }
  return items
}

/** The standard's algorithm over the whole text at once, as plainly as it is written there. */
function standard(text: string): SseItem[] {
  const items: SseItem[] = []
  const lines = text.replace(/^\uFEFF/, '').split(/\r\n|\r|\n/)
  lines.pop()
  let data = ''
  let event = ''
  let idBuffer = ''
  let id = ''
  for (const line of lines) {
    if (line === '') {
      const moved = id !== idBuffer
      id = idBuffer
      if (data !== '') items.push({ kind: 'event', event: event || 'message', data: data.slice(0, -1), id })
      else if (moved) items.push({ kind: 'id', id })
      data = ''
      event = ''
      continue
    }
    const [, field = '', value = ''] = /^([^:]*)(?:: ?(.*))?$/s.exec(line) ?? []
    if (field === 'event') event = value
    if (field === 'data') data += `${value}\n`
    if (field === 'id' && !value.includes('\0')) idBuffer = value
    if (field === 'retry' && value !== '' && /^[0-9]*$/.test(value))
      items.push({ kind: 'retry', ms: Number(value) })
  }
  return items
}

const line = fc.oneof(
  fc.constantFrom(
    '',
    '',
    '',
    ':',
    ': heartbeat',
    'data',
    'data:',
    'data: ',
    'data:  x',
    'id',
    'id:',
    'id: 1-2',
    'id:a\0b',
  ),
  fc.constantFrom(
    'event: gap',
    'event',
    'retry: 1500',
    'retry: 15a',
    'retry:',
    'retry: -1',
    'retry:  7',
    'DATA: no',
    ' data: no',
  ),
  fc
    .tuple(fc.constantFrom('data:', 'data: ', 'id: ', 'event:', ''), fc.string({ unit: 'grapheme' }))
    .map((pair) => pair.join('')),
  fc.string({ unit: 'binary' }).map((text) => `data: ${text}`),
)
const stream = fc
  .tuple(
    fc.constantFrom('', '', '\uFEFF', '\uFEFF\uFEFF'),
    fc.array(fc.tuple(line, fc.constantFrom('\n', '\r\n', '\r')), { maxLength: 40 }),
  )
  .map(([mark, lines]) => mark + lines.map(([text, end]) => text.replaceAll(/[\r\n]/g, '|') + end).join(''))
const cuts = fc.array(fc.nat(), { maxLength: 60 })

describe('the parser', () => {
  test('reads any stream in any pieces as the standard reads it whole', () => {
    fc.assert(
      fc.property(stream, cuts, (text, where) => {
        expect(parse(bytes(text), where)).toEqual(
          standard(new TextDecoder('utf-8', { ignoreBOM: true }).decode(bytes(text))),
        )
      }),
      { numRuns: 1500 },
    )
  })

  test('reads byte by byte what it reads at once', () => {
    fc.assert(
      fc.property(stream, (text) => {
        const whole = bytes(text)
        expect(parse(whole, [...whole.keys()])).toEqual(parse(whole))
      }),
      { numRuns: 300 },
    )
  })

  test('agrees with eventsource-parser', () => {
    fc.assert(
      fc.property(stream, cuts, (text, where) => {
        // It holds a last CR back until it has seen what follows.
        const whole = `${text}\n`
        const peer: unknown[] = []
        const parser = createParser({
          onEvent: ({ event, data }) => peer.push({ event: event ?? 'message', data }),
          onRetry: (ms) => peer.push(ms),
        })
        parser.feed(new TextDecoder().decode(bytes(whole)))
        const ours = parse(bytes(whole), where).flatMap((item): unknown[] =>
          item.kind === 'event'
            ? [{ event: item.event, data: item.data }]
            : item.kind === 'retry'
              ? [item.ms]
              : [],
        )
        expect(ours).toEqual(peer)
      }),
      { numRuns: 1500 },
    )
  })

  test('starts from the id it was given, and keeps it over frames without one', () => {
    const parser = new SseParser({ lastEventId: '1-7' })
    expect(parser.push(bytes('id: 1-7\n\ndata: a\n\nid: 1-9\n\ndata: b\n\n'))).toEqual([
      { kind: 'event', event: 'message', data: 'a', id: '1-7' },
      { kind: 'id', id: '1-9' },
      { kind: 'event', event: 'message', data: 'b', id: '1-9' },
    ])
  })

  test('never reports an event that the end of the stream cut off', () => {
    expect(parse(bytes('id: 1\ndata: whole\n\nid: 2\ndata: half\n'))).toHaveLength(1)
  })

  test('refuses an event that outgrows its bound, in one line or in many', () => {
    const one = new SseParser({ maxChars: 1000 })
    const many = new SseParser({ maxChars: 1000 })
    expect(() => {
      for (let n = 0; n < 11; n += 1) one.push(bytes(`data: ${'x'.repeat(100)}`))
    }).toThrow(SseOverflow)
    expect(() => {
      for (let n = 0; n < 11; n += 1) many.push(bytes(`data: ${'x'.repeat(100)}\n`))
    }).toThrow(SseOverflow)
    const enough = new SseParser({ maxChars: 1000 })
    for (let n = 0; n < 100; n += 1)
      expect(enough.push(bytes(`data: ${'x'.repeat(900)}\n\n`))).toHaveLength(1)
  })

  test('takes a long line in small pieces in time that grows with its length only', () => {
    const time = (pieces: number) => {
      const parser = new SseParser()
      const piece = bytes('x'.repeat(64))
      // Of computing: what else the machine does must not count.
      const began = process.cpuUsage()
      parser.push(bytes('data: '))
      for (let n = 0; n < pieces; n += 1) parser.push(piece)
      expect(parser.push(bytes('\n\n'))).toHaveLength(1)
      const { user, system } = process.cpuUsage(began)
      return (user + system) / 1000
    }
    time(5000)
    // Quadratic work would take 64 times as long for 8 times the pieces.
    expect(time(80_000)).toBeLessThan(Math.max(time(10_000), 2) * 32)
  })
})
