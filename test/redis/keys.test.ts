import { readFileSync } from 'node:fs'
import fc from 'fast-check'
import { expect, it } from 'vitest'
import { KEYS } from '../../src/redis/key-table.js'
import { BUCKETS, type KeyName, key, markerOf, patternOf, tenantGlob, whatIs } from '../../src/redis/keys.js'
import { slotOf } from '../../src/redis/slots.js'

const names = Object.keys(KEYS) as KeyName[]

/** Texts that try to break out: separators, braces, globs, escapes, names of kinds. */
const nasty = fc.oneof(
  fc.string({ unit: 'grapheme', maxLength: 12 }),
  fc
    .array(
      fc.constantFrom('a', ':', '{', '}', '*', '?', '[', ']', '\\', '%', '3A', '%3A', '\0', 'b01', 'flow'),
      {
        maxLength: 6,
      },
    )
    .map((parts) => parts.join('')),
)

const anyKey = fc
  .tuple(fc.constantFrom(...names), fc.array(nasty, { minLength: 3, maxLength: 3 }))
  .map(([name, texts]) => {
    const row: { tag: readonly string[]; rest: readonly string[] } = KEYS[name]
    const parts = Object.fromEntries([...row.tag, ...row.rest].map((part, i) => [part, texts[i] ?? '']))
    return { name, parts }
  })

// The parts of a kind are checked where it is written; here they are made from the table itself.
const make = ({ name, parts }: { name: KeyName; parts: Record<string, string> }) =>
  key<KeyName>(name, parts as Parameters<typeof key<KeyName>>[1])

it('reads every key back to what it was made of', () => {
  fc.assert(
    fc.property(anyKey, (made) => {
      expect(whatIs(make(made))).toEqual(made)
    }),
    { numRuns: 3000 },
  )
})

it('never gives two things one key', () => {
  const seen = new Map<string, string>()
  fc.assert(
    fc.property(anyKey, (made) => {
      const text = make(made)
      const what = JSON.stringify(made)
      expect(seen.get(text) ?? what).toBe(what)
      seen.set(text, what)
    }),
    { numRuns: 3000 },
  )
})

it('matches with the glob of a tenant all its keys and none of another', () => {
  fc.assert(
    fc.property(anyKey, nasty, (made, other) => {
      const { tenant } = made.parts
      fc.pre(tenant !== undefined)
      const own = tenantGlob(made.name, tenant ?? '')
      expect(own).toBeDefined()
      expect(glob(own ?? '').test(make(made))).toBe(true)
      for (const name of names) {
        const foreign = tenantGlob(name, other)
        if (other !== tenant && foreign !== undefined) expect(glob(foreign).test(make(made))).toBe(false)
      }
    }),
    { numRuns: 2000 },
  )
})

/** Redis's glob for the few signs that ours use. */
function glob(pattern: string): RegExp {
  const source = pattern.replace(/[.+^${}()|\\]/g, '\\$&').replaceAll('*', '[^]*')
  return new RegExp(`^${source}$`)
}

it('knows no key that nothing here would write', () => {
  for (const text of [
    'flow:events:abc',
    'flow:events:{a}',
    'flow:events:{a:b:c}',
    'flow:events:{a:b}:c',
    'flow:events:{a:%62}',
    'flow:events:{a:%}',
    'flow:events:{a:%3a}',
    'flow:nothing:{a:b}',
    'toString:{a:b}',
    'lock:flow:{b99}:a:b',
    'sse:flow:{a:b}:others',
    'anything',
  ])
    expect(whatIs(text)).toBeUndefined()
  expect(whatIs('celery-task-meta-1')).toEqual({ name: 'celery-task-meta-<task>', parts: {} })
  expect(whatIs('unacked')?.name).toBe('unacked')
})

it('refuses half a surrogate pair', () => {
  expect(() => key('flow:events', { tenant: 'a', flow: '\ud800' })).toThrow('well-formed')
  expect(() => key('session', { tenant: 'a', session: '\udc00' })).toThrow('well-formed')
})

it('writes them as the guide does, with the tenant in the tag', () => {
  expect(key('flow:events', { tenant: 'acme', flow: 'abc123' })).toBe('flow:events:{acme:abc123}')
  expect(key('sse:flow', { tenant: 'acme', flow: 'a:b' })).toBe('sse:flow:{acme:a%3Ab}:connections')
  expect(patternOf('api:assets')).toBe('api:assets:{tenant:engagement}:<filters>')
})

it('puts a lock, a limit and the marker of their bucket into one slot', () => {
  for (const flow of ['a', 'b', 'c:d', 'é']) {
    const lock = key('lock:flow', { tenant: 'acme', flow })
    expect(slotOf(markerOf(lock))).toBe(slotOf(lock))
    expect(BUCKETS).toContain(whatIs(markerOf(lock))?.parts.bucket)
  }
})

it('puts all limits of a tenant into one bucket, and those of tenants into many', () => {
  const slots = (tenant: string) =>
    [
      key('rate_limit', { tenant, user: 'u1' }),
      key('rate_limit:global', { tenant, endpoint: 'publish' }),
      key('rate_limit:tenant', { tenant }),
      key('rate_limit:sliding', { tenant, user: 'u2' }),
      key('rate_limit:named', { tenant, name: 'a:b', algorithm: 'fixed' }),
      key('rate_limit:entries', { tenant, name: 'c', algorithm: 'concurrency' }),
    ].map((text) => {
      expect(slotOf(markerOf(text))).toBe(slotOf(text))
      return slotOf(text)
    })
  const tenants = Array.from({ length: 200 }, (_, i) => slots(`tenant:${i}`))
  for (const own of tenants) expect(new Set(own).size).toBe(1)
  expect(new Set(tenants.flat()).size).toBeGreaterThan(32)
})

it('is in the docs, each kind', () => {
  const page = readFileSync(new URL('../../docs/keys.md', import.meta.url), 'utf8')
  for (const name of names) expect(page).toContain(`\`${patternOf(name)}\``)
})
