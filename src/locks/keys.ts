import { key, markerOf, whatIs } from '../redis/keys.js'
import type { LockRef } from './locks.js'

/** The keys of a lock in Redis; all lie in one bucket, with the term's marker. */
export interface LockKeys {
  readonly marker: string
  readonly lock: string
  /** The last fence of the bucket. */
  readonly fences: string
  /** Claims by their arrival. */
  readonly queue: string
  /** Claims by the end of their patience. */
  readonly waiting: string
  /** Where it is told whose turn it is. */
  readonly freed: string
}

/** A lock is asked for several times in its life. */
const KNOWN = 10_000
const known = new Map<string, LockKeys>()

export function lockKeys(ref: LockRef): LockKeys {
  const id = lockId(ref)
  let keys = known.get(id)
  if (!keys) {
    keys = make(ref)
    if (known.size >= KNOWN) known.clear()
    known.set(id, keys)
  }
  return keys
}

/** One text for a lock; no two share one: names hold no line feed. */
export function lockId({ tenant, name }: LockRef): string {
  return `${tenant}\n${name}`
}

/** The lock that a key or a channel is about; undefined for another kind of key. */
export function lockOf(text: string): LockRef | undefined {
  const { name: kind, parts } = whatIs(text) ?? { name: '', parts: {} }
  const { tenant = '', name = '', flow = '', import: run = '', asset = '' } = parts
  switch (kind) {
    case 'lock':
    case 'lock:freed':
      return { tenant, name }
    case 'lock:flow':
      return { tenant, name: `flow:${flow}` }
    case 'lock:import':
      return { tenant, name: `import:${run}` }
    case 'lock:analysis':
      return { tenant, name: `analysis:${asset}` }
    default:
      return undefined
  }
}

function make({ tenant, name }: LockRef): LockKeys {
  const lock = keyOf(tenant, name)
  const bucket = lock.slice(lock.indexOf('{') + 1, lock.indexOf('}'))
  return {
    marker: markerOf(lock),
    lock,
    fences: key('lock:fences', { bucket }),
    queue: key('lock:queue', { bucket, tenant, name }),
    waiting: key('lock:waiting', { bucket, tenant, name }),
    freed: key('lock:freed', { bucket, tenant, name }),
  }
}

/** Names of the platform's guide have keys of their own. */
function keyOf(tenant: string, name: string): string {
  const [, kind, rest = ''] = /^(flow|import|analysis):(.+)$/s.exec(name) ?? []
  switch (kind) {
    case 'flow':
      return key('lock:flow', { tenant, flow: rest })
    case 'import':
      return key('lock:import', { tenant, import: rest })
    case 'analysis':
      return key('lock:analysis', { tenant, asset: rest })
    default:
      return key('lock', { tenant, name })
  }
}
