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
  'spillway:term': {
    type: 'string',
    life: 'for ever',
    owner: 'term',
    postgres: 'spillway.term',
    says: 'The marker of the term that this Redis was opened for: its number, carrying or open, and the attempt.',
  },
  'spillway:probe': {
    type: 'string',
    life: '60 s',
    owner: 'term',
    postgres: '–',
    says: 'Written to see whether writing works; as a channel, to see whether messages arrive.',
  },
} as const satisfies Record<string, KeyPattern>

export type KeyName = keyof typeof KEYS

/** The key of a flow. */
export function key(name: KeyName, ref: FlowRef): string {
  return `${name}:${flowTag(ref)}`
}

/** Parts of a Cluster's slots, each with a marker of its own. */
const PARTS = 16

/** The markers of the term: one for a server; for a Cluster one in each sixteenth of its slots. */
export function markerKeys(kind: 'standalone' | 'cluster'): string[] {
  if (kind === 'standalone') return ['spillway:term:{term}']
  const keys: string[] = []
  for (let i = 0; keys.filter(Boolean).length < PARTS; i++) {
    const part = Math.floor((slotOf(`p${i}`) * PARTS) / 16_384)
    keys[part] ??= `spillway:term:{p${i}}`
  }
  return keys
}

/** The slot of a hash tag: CRC16 (XMODEM) of its bytes, as the Cluster specification has it. */
function slotOf(tag: string): number {
  let crc = 0
  for (const byte of Buffer.from(tag)) {
    crc ^= byte << 8
    for (let bit = 0; bit < 8; bit++) crc = ((crc << 1) ^ (crc & 0x8000 ? 0x1021 : 0)) & 0xffff
  }
  return crc % 16_384
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
