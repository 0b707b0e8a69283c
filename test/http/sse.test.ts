import { EventSource } from 'eventsource'
import { createParser, type EventSourceMessage } from 'eventsource-parser'
import fc from 'fast-check'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { formatId } from '../../src/events/cursor.js'
import { Delivery, eventItem } from '../../src/events/delivery.js'
import type { StoredEvent } from '../../src/events/log.js'
import { bodies, chunkText, idFrame, singleFrames } from '../../src/http/sse.js'
import { checkName } from '../../src/tenant.js'
import { freshDatabase } from '../support/database.js'
import type { FreshDatabase } from '../support/postgres.js'
import { openRig, type Rig } from './rig.js'

function isName(kind: 'type' | 'source' | 'flow', text: string): boolean {
  try {
    checkName(kind, text)
    return true
  } catch {
    return false
  }
}

const name = (kind: 'type' | 'source' | 'flow') =>
  fc
    .oneof(
      fc.string({ unit: 'binary', minLength: 1, maxLength: 20 }),
      fc.string({ minLength: 1, maxLength: 20 }),
    )
    .filter((text) => isName(kind, text))

const nasty = fc.oneof(
  fc.constantFrom(
    '\u2028',
    '\u2029',
    '\ud800',
    '\udc00x',
    '\u0000',
    '\ufeff',
    '\r',
    '\n\n',
    'data: x\n\nid: 9',
  ),
  fc.string({ unit: 'binary' }),
)
const json = fc.letrec((tie) => ({
  value: fc.oneof(
    { depthSize: 'small' },
    nasty,
    fc.double({ noNaN: true, noDefaultInfinity: true }),
    fc.boolean(),
    fc.constant(null),
    fc.array(tie('value'), { maxLength: 4 }),
    fc.dictionary(nasty, tie('value'), { maxKeys: 4 }),
  ),
})).value

/** JSON text, also with line breaks of every kind between its tokens. */
const payload = fc
  .tuple(json, fc.constantFrom(undefined, '\n', '\r', '\r\n', '\t\n'))
  .map(([value, gap]) =>
    gap === undefined ? JSON.stringify(value) : JSON.stringify(value, null, 1).replaceAll('\n', gap),
  )

const events = fc.array(
  fc.record({ type: name('type'), source: name('source'), payload, at: fc.nat({ max: 4_102_444_800_000 }) }),
  { minLength: 1, maxLength: 5 },
)

const stored = fc
  .tuple(events, fc.nat({ max: 999_999 }))
  .map(([list, from]) => list.map((event, i): StoredEvent => ({ ...event, term: 1, seq: from + i + 1 })))

/** Feeds text to a parser of the standard, cut into pieces. */
function parse(text: string, piece: number): EventSourceMessage[] {
  const messages: EventSourceMessage[] = []
  const parser = createParser({ onEvent: (message) => messages.push(message) })
  for (let at = 0; at < text.length; at += piece) parser.feed(text.slice(at, at + piece))
  return messages
}

describe('the SSE encoder', () => {
  test('brings any event through a parser of the standard, however it is cut', () => {
    fc.assert(
      fc.property(stored, name('flow'), fc.integer({ min: 1, max: 60 }), (list, flow, piece) => {
        const delivery = new Delivery({ tenant: 't', flow }, list.map(eventItem))
        const messages = parse(singleFrames(delivery).frames.toString(), piece)
        expect(messages.map(({ id, event }) => ({ id, event }))).toEqual(
          list.map(({ term, seq, type }) => ({ id: formatId(term, seq), event: type })),
        )
        messages.forEach(({ data }, i) => {
          const event = list[i] as StoredEvent
          expect(JSON.parse(data)).toEqual({
            id: formatId(event.term, event.seq),
            flow,
            type: event.type,
            payload: JSON.parse(event.payload),
            source: event.source,
            timestamp: new Date(event.at).toISOString(),
          })
          if (!/[\r\n]/.test(event.payload)) expect(data).toContain(`"payload":${event.payload},"source"`)
        })
      }),
      { numRuns: 500 },
    )
  })

  test('lets no event write a field of its own', () => {
    fc.assert(
      fc.property(stored, name('flow'), (list, flow) => {
        const delivery = new Delivery({ tenant: 't', flow }, list.map(eventItem))
        for (const text of [singleFrames(delivery).frames.toString(), bodies(delivery).join('')]) {
          expect(text).not.toContain('\r')
          expect(text).not.toContain('\0')
          const fields = text.split('\n').map((line) => line.split(':')[0])
          const allowed = text.startsWith('id') ? ['id', 'event', 'data', ''] : ['event', 'data', '']
          expect(fields.filter((field) => !allowed.includes(field as string))).toEqual([])
          expect(fields.filter((field) => field === 'event')).toHaveLength(list.length)
          expect(fields.filter((field) => field === '')).toHaveLength(list.length + 1)
        }
      }),
      { numRuns: 300 },
    )
  })

  test('refuses CR, LF and NUL in a field, should a name ever come unchecked', () => {
    const event = { term: 1, seq: 1, source: 's', payload: '1', at: 0 }
    for (const bad of ['a\nid: 9', 'a\rb', 'a\0']) {
      expect(() => idFrame(bad)).toThrow(TypeError)
      const delivery = new Delivery({ tenant: 't', flow: 'f' }, [eventItem({ ...event, type: bad })])
      expect(() => singleFrames(delivery)).toThrow(TypeError)
    }
  })

  test('frames a chunk as HTTP/1.1 counts it, in bytes', () => {
    const text = 'data: "ä😀"\n\n'
    const size = Buffer.byteLength(text).toString(16)
    expect(chunkText(text)).toBe(`${size}\r\n${text}\r\n`)
  })
})

describe('over a socket', () => {
  let rig: Rig
  let database: FreshDatabase

  beforeAll(async () => {
    database = await freshDatabase()
    rig = await openRig({ postgres: database.url })
  })
  afterAll(async () => {
    await rig.close()
    await database.drop()
  })

  test('EventSource gets the same events, with nothing lost on the way', async () => {
    // `open` and `error` are EventSource's own events, so a flow must be able to have them without harm.
    const types = fc.oneof(
      name('type').filter((type) => !['gap', 'open', 'error'].includes(type)),
      fc.constant('message'),
    )
    const batch = fc.sample(fc.record({ type: types, payload: json }), { numRuns: 300, seed: 7 })
    const expected = batch
      .filter(({ type }) => !type.startsWith('spillway.'))
      .map(({ type, payload: value }) => ({ type, payload: JSON.parse(JSON.stringify(value)) as unknown }))
    const published = await rig.spillway.tenant('acme').flow('es').publishMany(expected)
    const received: { type: string; id: string; data: string }[] = []
    const source = new EventSource(rig.url('es', { after: '0' }))
    await new Promise<void>((resolve) => {
      for (const type of new Set(expected.map((event) => event.type))) {
        source.addEventListener(type, ({ lastEventId, data }) => {
          received.push({ type, id: lastEventId, data })
          if (received.length === expected.length) resolve()
        })
      }
    })
    source.close()
    expect(received.map(({ id }) => id)).toEqual(published.map(({ id }) => id))
    expect(received.map(({ type }) => type)).toEqual(expected.map(({ type }) => type))
    const { payload: _, durability: __, ...first } = published[0] as (typeof published)[0]
    expect(JSON.parse(received[0]?.data ?? '')).toMatchObject(first)
    expect(received.map(({ data }) => (JSON.parse(data) as { payload: unknown }).payload)).toEqual(
      expected.map((event) => event.payload),
    )
  })
})
