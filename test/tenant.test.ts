import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { SpillwayError } from '../src/errors.js'
import { checkName, flowTag, NAME_LIMITS, type NameKind, segment } from '../src/tenant.js'

const KINDS = Object.keys(NAME_LIMITS) as NameKind[]

function refused(kind: NameKind, value: unknown): boolean {
  try {
    checkName(kind, value)
    return false
  } catch (error) {
    expect(error).toBeInstanceOf(SpillwayError)
    expect((error as SpillwayError).code).toBe('INVALID_NAME')
    return true
  }
}

const wellFormed = fc.string({ unit: 'binary', maxLength: 30 }).filter((text) => text.isWellFormed())
/** Texts that are near each other: made of the characters that separate and escape. */
const near = fc.string({ unit: fc.constantFrom('a', ':', '{', '}', '%', '3', 'A', '/', '*', '~', "'", ' ') })

describe('a name', () => {
  test.each(KINDS)('of a %s is taken up to its limit in bytes, and no further', (kind) => {
    const limit = NAME_LIMITS[kind]
    expect(checkName(kind, 'x'.repeat(limit))).toBe('x'.repeat(limit))
    expect(refused(kind, 'x'.repeat(limit + 1))).toBe(true)
    expect(refused(kind, 'ä'.repeat(limit / 2))).toBe(false)
    expect(refused(kind, `${'ä'.repeat(limit / 2)}x`)).toBe(true)
    expect(refused(kind, '😀'.repeat(limit / 4))).toBe(false)
    expect(refused(kind, '😀'.repeat(limit / 4 + 1))).toBe(true)
  })

  test('is text, not empty, not a path’s dots, whole Unicode, without controls', () => {
    for (const value of [undefined, null, 1, {}, ['a'], '', '.', '..', '\ud800', 'a\udc00', 'a\ud800b']) {
      expect(refused('flow', value)).toBe(true)
    }
    const controls = [...Array(32).keys(), ...Array.from({ length: 33 }, (_, i) => 127 + i), 0x2028, 0x2029]
    for (const code of controls) expect(refused('flow', `a${String.fromCharCode(code)}b`)).toBe(true)
    for (const value of ['...', ' ', 'ü', '日本', '😀', 'a b', "it's", '{}', '%00', '\u00a0', '\ufeff']) {
      expect(checkName('flow', value)).toBe(value)
    }
  })

  test('that is taken is taken as it is; every other one is refused with its code', () => {
    fc.assert(
      fc.property(fc.constantFrom(...KINDS), fc.string({ unit: 'binary', maxLength: 300 }), (kind, text) => {
        if (!refused(kind, text)) expect(checkName(kind, text)).toBe(text)
      }),
    )
  })
})

describe('an encoded identifier', () => {
  test('is made of safe characters and can be read back', () => {
    fc.assert(
      fc.property(wellFormed, (text) => {
        expect(segment(text)).toMatch(/^(?:[A-Za-z0-9._-]|%[0-9A-F]{2})*$/)
        expect(decodeURIComponent(segment(text))).toBe(text)
      }),
    )
  })

  test('of two different flows is never the same, nor does one tenant’s begin like another’s', () => {
    const names = fc.oneof(near, wellFormed)
    fc.assert(
      fc.property(names, names, names, names, (t1, f1, t2, f2) => {
        const [a, b] = [flowTag({ tenant: t1, flow: f1 }), flowTag({ tenant: t2, flow: f2 })]
        expect(a === b).toBe(t1 === t2 && f1 === f2)
        const prefix = flowTag({ tenant: t1, flow: '' }).slice(0, -1)
        expect(b.startsWith(prefix)).toBe(t1 === t2)
      }),
      { numRuns: 2000 },
    )
  })

  test('tells apart what a plain join would not', () => {
    expect(flowTag({ tenant: 'a', flow: 'b:c' })).not.toBe(flowTag({ tenant: 'a:b', flow: 'c' }))
    expect(flowTag({ tenant: 'a', flow: '%3A' })).not.toBe(flowTag({ tenant: 'a', flow: ':' }))
    expect(flowTag({ tenant: 'a*', flow: 'x' })).toBe('{a%2A:x}')
  })
})
