import { key, markerOf, whatIs } from '../redis/keys.js'
import type { LockRef } from './locks.js'

/** The key of a lock in Redis. Names of the platform's guide have keys of their own. */
export function lockKey({ tenant, name }: LockRef): string {
  const colon = name.indexOf(':')
  const rest = name.slice(colon + 1)
  if (colon > 0 && rest !== '') {
    if (name.startsWith('flow:')) return key('lock:flow', { tenant, flow: rest })
    if (name.startsWith('import:')) return key('lock:import', { tenant, import: rest })
    if (name.startsWith('analysis:')) return key('lock:analysis', { tenant, asset: rest })
  }
  return key('lock', { tenant, name })
}

/** The bucket of a lock's key: what lies beside the lock, on a Cluster too, has the same. */
export function bucketOf(lock: string): string {
  const open = lock.indexOf('{')
  return lock.slice(open + 1, lock.indexOf('}', open))
}

/**
 * Who waits for a lock. The scripts find beside it, under the same end, who of them is alive (`lock:waiting`) and where
 * to tell whose turn it is (`lock:freed`).
 */
export function queueKey({ tenant, name }: LockRef, bucket: string): string {
  return key('lock:queue', { bucket, tenant, name })
}

/** Where it is told whose turn it is. */
export function freedChannel(lock: LockRef): string {
  return key('lock:freed', { bucket: bucketOf(lockKey(lock)), ...lock })
}

/** The last fence of a bucket, and its marker. */
export function besideLocks(bucket: string): { readonly fences: string; readonly marker: string } {
  let keys = beside.get(bucket)
  if (!keys) {
    const fences = key('lock:fences', { bucket })
    keys = { fences, marker: markerOf(fences) }
    beside.set(bucket, keys)
  }
  return keys
}

/** One entry a bucket. */
const beside = new Map<string, { fences: string; marker: string }>()

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
