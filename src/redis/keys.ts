import { type FlowRef, flowTag, segment } from '../tenant.js'

/** What a key holds, how long, whose it is, and what does its work on PostgreSQL. */
export interface KeyPattern {
  readonly type: 'stream' | 'hash' | 'string' | 'zset' | 'set' | 'list' | 'channel'
  /** In words. */
  readonly life: string
  readonly owner: string
  readonly postgres: string
  readonly says: string
}

/** Every key that is written, by what stands before its hash tag. */
export const KEYS = {
  'flow:events': {
    type: 'stream',
    life: 'SPILLWAY_RETENTION_EVENTS entries; SPILLWAY_RETENTION_AGE_MS of silence',
    owner: 'events',
    postgres: 'spillway.events',
    says: 'A fast flow: its log. A durable flow: its hot tail, under the same ids.',
  },
  'flow:log': {
    type: 'hash',
    life: 'twice as long as the events',
    owner: 'events',
    postgres: 'spillway.flows',
    says: 'How far the flow has counted, in which terms.',
  },
  'flow:keys': {
    type: 'zset',
    life: 'as the events',
    owner: 'events',
    postgres: 'spillway.events (key)',
    says: 'Keys that callers gave to events of a fast flow, with the seq of each.',
  },
  'flow:updates': {
    type: 'channel',
    life: 'none',
    owner: 'events',
    postgres: 'NOTIFY spillway',
    says: 'What was just stored, for live readers.',
  },
} as const satisfies Record<string, KeyPattern>

export type KeyName = keyof typeof KEYS

/** The key of a flow. */
export function key(name: KeyName, ref: FlowRef): string {
  return `${name}:${flowTag(ref)}`
}

const FORM = /^(.+?):\{([^{}:]+):([^{}:]+)\}$/

/** Whose key it is; undefined for a key that none of these patterns makes. */
export function whatIs(text: string): (FlowRef & { readonly name: KeyName }) | undefined {
  const [, name, tenant, flow] = FORM.exec(text) ?? []
  if (name === undefined || tenant === undefined || flow === undefined || !Object.hasOwn(KEYS, name))
    return undefined
  try {
    const ref = { tenant: decodeURIComponent(tenant), flow: decodeURIComponent(flow) }
    if (segment(ref.tenant) !== tenant || segment(ref.flow) !== flow) return undefined
    return { name: name as KeyName, ...ref }
  } catch {
    return undefined
  }
}
