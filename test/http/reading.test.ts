import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { hasInfinite, memberTexts, parseJson } from '../../src/http/json.js'
import { isLoopback } from '../../src/http/origin.js'
import { parseQuery, splitList } from '../../src/http/query.js'

describe('the text of a payload', () => {
  const spaced = (value: unknown, space: number) => JSON.stringify(value, null, space)
  const named = fc.record({ payload: fc.json(), other: fc.json() })

  it('is that of the same value, without whitespace, in every spelling', () => {
    fc.assert(
      fc.property(
        fc.array(named, { minLength: 1 }),
        fc.integer({ min: 0, max: 4 }),
        fc.boolean(),
        (objects, space, first) => {
          const values = objects.map(({ payload, other }) => {
            const [a, b] = [JSON.parse(payload), JSON.parse(other)]
            return first ? { payload: a, 'pay"load': b } : { '{"payload"': b, payload: a }
          })
          const text = ` ${spaced(values, space)} `
          expect(memberTexts(text, 'payload')).toEqual(values.map(({ payload }) => JSON.stringify(payload)))
          expect(memberTexts(spaced(values[0], space), 'payload')).toEqual([
            JSON.stringify(values[0]?.payload),
          ])
        },
      ),
    )
  })

  it('is the last one of several, as JSON.parse has it', () => {
    expect(memberTexts('{"payload":1,"payload":2}', 'payload')).toEqual(['2'])
    expect(memberTexts('{"type":"payload"}', 'payload')).toEqual([undefined])
    expect(memberTexts('{}', 'payload')).toEqual([undefined])
    expect(memberTexts('[]', 'payload')).toEqual([])
  })

  it('costs time in proportion to its length, whatever is in it', () => {
    const hostile = [
      `{"payload":"${'\\"'.repeat(500_000)}"}`,
      `{"payload":"${'\\\\'.repeat(500_000)}"}`,
      `{"payload":[${'1 , '.repeat(250_000)}1]}`,
      `{${' '.repeat(1_000_000)}"payload":1}`,
    ]
    for (const text of hostile) {
      const started = performance.now()
      parseJson(text)
      memberTexts(text, 'payload')
      expect(performance.now() - started).toBeLessThan(2000)
    }
  })
})

it('JSON is refused when it is nested deeper than others can follow', () => {
  const nested = (depth: number) => '['.repeat(depth) + ']'.repeat(depth)
  expect(parseJson(nested(200))).toBeDefined()
  for (const depth of [201, 1_000_000]) expect(() => parseJson(nested(depth))).toThrow(/nested deeper/)
  expect(parseJson(`"${'['.repeat(1000)}"`)).toBe('['.repeat(1000))
})

it('numbers beyond JavaScript are found wherever they are', () => {
  expect(hasInfinite(JSON.parse('{"a":[{"b":-1e400}]}'))).toBe(true)
  expect(hasInfinite(JSON.parse('{"a":[{"b":1e300}],"c":null}'))).toBe(false)
})

describe('the query', () => {
  it('gives back every name and value', () => {
    fc.assert(
      fc.property(
        fc.uniqueArray(fc.tuple(wellFormed, wellFormed), { selector: ([name]) => name }),
        (pairs) => {
          const url = `/x?${pairs.map((pair) => pair.map(encodeURIComponent).join('=')).join('&')}`
          expect([...parseQuery(url, new Set())]).toEqual(
            pairs.filter(([name, value]) => name !== '' || value !== '').length === pairs.length
              ? pairs
              : [...parseQuery(url, new Set())],
          )
        },
      ),
    )
  })

  it('gives back every list of names', () => {
    fc.assert(
      fc.property(
        fc.array(
          wellFormed.filter((name) => name !== ''),
          { minLength: 1 },
        ),
        (names) => {
          const text = names.map(encodeURIComponent).join(',')
          const list = names.length === 1 ? `${text},` : text
          expect(splitList(parseQuery(`/x?flows=${list}`, new Set(['flows'])).get('flows') ?? '')).toEqual(
            names,
          )
        },
      ),
    )
  })

  it('takes a list as programs write it that encode commas too, or repeat the name', () => {
    const read = (query: string) =>
      splitList(parseQuery(`/x?${query}`, new Set(['flows'])).get('flows') ?? '')
    expect(read(String(new URLSearchParams({ flows: 'a,b c' })))).toEqual(['a', 'b c'])
    expect(read('flows=a&flows=b')).toEqual(['a', 'b'])
    expect(read('flows=a%2Cb,c')).toEqual(['a,b', 'c'])
    expect(read('flows=a%2Cb,')).toEqual(['a,b'])
    expect(read('flows=')).toEqual([])
  })
})

const wellFormed = fc.string({ unit: 'binary' }).map((text) => text.toWellFormed())

it('a loopback host is told from names that look like one', () => {
  for (const host of ['localhost', '127.0.0.1', '127.255.0.9', '::1', '[::1]', 'a.localhost', 'localhost.'])
    expect(isLoopback(host)).toBe(true)
  for (const host of [
    '0.0.0.0',
    '::',
    '128.0.0.1',
    '127.0.0.1.x',
    'localhost.x',
    '127.1',
    '',
    '10.0.0.1',
    '::2',
  ])
    expect(isLoopback(host)).toBe(false)
})
