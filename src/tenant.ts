import { SpillwayError } from './errors.js'
import { Remembered } from './remembered.js'

/** Byte limits of names, in UTF-8. */
export const NAME_LIMITS = {
  tenant: 128,
  flow: 256,
  type: 128,
  source: 256,
  key: 256,
  engagement: 256,
  group: 128,
  user: 256,
  limit: 256,
  lock: 256,
  holder: 256,
} as const

export type NameKind = keyof typeof NAME_LIMITS

// biome-ignore lint/suspicious/noControlCharactersInRegex: control characters are what the check looks for
const CONTROL = /[\u0000-\u001f\u007f-\u009f\u2028\u2029]/

/**
 * Returns `value` if it may serve as a name of that kind: 1 to `NAME_LIMITS[kind]` bytes of well-formed
 * Unicode without control characters. `.` and `..` are refused: URL parsers remove them from paths.
 * Errors: `INVALID_NAME`.
 */
export function checkName(kind: NameKind, value: unknown): string {
  if (typeof value === 'string' && passed[kind].has(value)) return value
  if (typeof value !== 'string') throw new SpillwayError('INVALID_NAME', `${kind} must be a string`)
  if (value.length === 0) throw new SpillwayError('INVALID_NAME', `${kind} must not be empty`)
  const limit = NAME_LIMITS[kind]
  if (value.length > limit || Buffer.byteLength(value) > limit) {
    throw new SpillwayError('INVALID_NAME', `${kind} is longer than ${limit} bytes`)
  }
  if (!value.isWellFormed()) throw new SpillwayError('INVALID_NAME', `${kind} is not well-formed Unicode`)
  if (CONTROL.test(value)) throw new SpillwayError('INVALID_NAME', `${kind} contains a control character`)
  if (value === '.' || value === '..')
    throw new SpillwayError('INVALID_NAME', `${kind} must not be "${value}"`)
  const known = passed[kind]
  if (known.size >= PASSED) known.clear()
  known.add(value)
  return value
}

/** Names that passed, because the same few come again and again. */
const PASSED = 1000
const passed = Object.fromEntries(
  Object.keys(NAME_LIMITS).map((kind) => [kind, new Set<string>()]),
) as Record<NameKind, Set<string>>

/** A flow and whose it is. */
export interface FlowRef {
  readonly tenant: string
  readonly flow: string
}

/**
 * One text for a tenant's flow, as it stands in keys and channels: `{tenant:flow}` with every byte outside
 * `[A-Za-z0-9._-]` percent-encoded, so that two different pairs never share a text.
 */
export function flowTag({ tenant, flow }: FlowRef): string {
  return tags.of(tenant, flow)
}

/** Tags are asked for several times in the life of each event. */
const tags = new Remembered((tenant, flow) => `{${segment(tenant)}:${segment(flow)}}`, 50_000)

const PLAIN = /^[A-Za-z0-9._-]*$/

/** Whether a key segment is the text itself. */
export function isPlain(text: string): boolean {
  return PLAIN.test(text)
}

/** Percent-encodes a key segment outside `[A-Za-z0-9._-]`; injective over well-formed strings. */
export function segment(text: string): string {
  if (isPlain(text)) return text
  return encodeURIComponent(text).replace(
    /[!'()*~]/g,
    (c) => `%${c.charCodeAt(0).toString(16).toUpperCase()}`,
  )
}
