import { SpillwayError } from '../errors.js'
import { flowTag, isPlain, segment } from '../tenant.js'
import { CELERY_KEYS, KEYS, type KeyRow } from './key-table.js'
import { slotOf } from './slots.js'

export type KeyName = keyof typeof KEYS

type Segments<N extends KeyName> = (typeof KEYS)[N]['tag'][number] | (typeof KEYS)[N]['rest'][number]

/** What a kind of key is made of: a text a segment. */
export type KeyParts<N extends KeyName> = { readonly [S in Segments<N>]: string }

/**
 * Locks and limits share the tags of a fixed number of buckets, so that a script reaches, on a Cluster too, the
 * term's marker that lies beside them: one marker a bucket, not one a lock.
 */
export const BUCKETS: readonly string[] = Array.from(
  { length: 64 },
  (_, i) => `b${String(i).padStart(2, '0')}`,
)

/** The only maker of keys. Two different names or parts never share a key. Errors: `INVALID_NAME`. */
export function key<N extends KeyName>(name: N, parts: KeyParts<N>): string {
  return write(name, parts)
}

/** The marker that a script checks beside this key, which is one of a lock or a limit. */
export function markerOf(text: string): string {
  return key('term:marker', { bucket: /\{(b\d\d)\}/.exec(text)?.[1] ?? bucketOf(text) })
}

/**
 * A glob for SCAN that matches every key of that kind of one tenant and none of another; undefined if the kind
 * does not belong to tenants.
 */
export function tenantGlob(name: KeyName, tenant: string): string | undefined {
  const { tag, rest, together }: KeyRow = KEYS[name]
  const owner = encode(tenant)
  if (tag[0] === 'tenant') return `${name}:{${owner}${tag.length > 1 ? ':' : '}'}*`
  if (rest[0] !== 'tenant') return undefined
  // A key has one closing brace: the star ends there.
  const bucket = tag.length > 0 ? '*' : together ? bucketOf(`:${owner}`) : 'b[0-9][0-9]'
  return `${name}:{${bucket}}:${owner}${rest.length > 1 ? ':*' : ''}`
}

/** What a key is; `parts` are empty for Celery's keys. */
export interface KnownKey {
  readonly name: string
  readonly parts: Readonly<Record<string, string>>
}

/** Reads a key back; undefined for one that nothing here would write. */
export function whatIs(text: string): KnownKey | undefined {
  const [, name, inTag = '', behind = ''] = /^([a-z_:]+):\{([^{}]*)\}((?::[^{}]*)?)$/.exec(text) ?? []
  if (name === undefined || !isName(name)) {
    const foreign = CELERY_KEYS.find(({ form }) => form?.test(text))
    return foreign && { name: foreign.pattern, parts: {} }
  }
  const { tag, rest, last }: KeyRow = KEYS[name]
  const values = [...(tag.length > 0 ? inTag.split(':') : []), ...behind.split(':').slice(1)]
  if (last !== undefined) values.pop()
  const segments = [...tag, ...rest]
  if (values.length !== segments.length) return undefined
  try {
    const parts = Object.fromEntries(segments.map((part, i) => [part, decodeURIComponent(values[i] ?? '')]))
    // Only one spelling is ours: the rest would be a second key for the same thing.
    return write(name, parts) === text ? { name, parts } : undefined
  } catch (error) {
    if (error instanceof URIError || error instanceof SpillwayError) return undefined
    throw error
  }
}

/** A kind's pattern as people read it: `flow:events:{tenant:flow}`. */
export function patternOf(name: KeyName): string {
  const { tag, rest, last }: KeyRow = KEYS[name]
  const inTag = tag.length > 0 ? tag.join(':') : 'bucket'
  return [`${name}:{${inTag}}`, ...rest.map((part) => `<${part}>`), ...(last ? [last] : [])].join(':')
}

function write(name: KeyName, parts: Readonly<Record<string, string>>): string {
  const { tag, rest, last, together }: KeyRow = KEYS[name]
  const end = last === undefined ? '' : `:${last}`
  const { tenant, flow } = parts
  // The usual kind, whose tag is remembered.
  if (
    tag.length === 2 &&
    tag[1] === 'flow' &&
    rest.length === 0 &&
    tenant !== undefined &&
    flow !== undefined
  ) {
    return `${name}:${wellFormed(() => flowTag({ tenant, flow }))}${end}`
  }
  let behind = ''
  for (const part of rest) behind += `:${encode(parts[part] ?? '')}`
  const spread = together && tenant !== undefined ? `:${encode(tenant)}` : behind
  const inTag = tag.length > 0 ? tag.map((part) => encode(parts[part] ?? '')).join(':') : bucketOf(spread)
  return `${name}:{${inTag}}${behind}${end}`
}

function bucketOf(text: string): string {
  return BUCKETS[slotOf(text) % BUCKETS.length] ?? 'b00'
}

function encode(text: string): string {
  return isPlain(text) ? text : wellFormed(() => segment(text))
}

/** Half a surrogate pair has no UTF-8: two such texts would become one key. */
function wellFormed(make: () => string): string {
  try {
    return make()
  } catch (cause) {
    throw new SpillwayError('INVALID_NAME', 'A key must be made of well-formed Unicode', { cause })
  }
}

function isName(name: string): name is KeyName {
  return Object.hasOwn(KEYS, name)
}
