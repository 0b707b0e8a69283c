import { key, whatIs } from '../redis/keys.js'
import { Remembered } from '../remembered.js'
import type { LockRef } from './locks.js'

/** The key of a lock in Redis. Names of the platform's guide have keys of their own. */
export function lockKey({ tenant, name }: LockRef): string {
  return lockKeys.of(tenant, name)
}

/** Who takes a lock also gives it back, and may renew it. */
const lockKeys = new Remembered(makeLockKey, 20_000)

function makeLockKey(tenant: string, name: string): string {
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

/** Who waits for a lock. */
export function queueKey({ tenant, name }: LockRef, bucket: string): string {
  return key('lock:queue', { bucket, tenant, name })
}

/**
 * How the scripts find what lies beside a lock (`lock:queue`, `lock:waiting`, `lock:freed`): by the end of its own key,
 * `-`, or, for names that have keys of their own kind, by another.
 */
export function endBeside(ref: LockRef, lock: string): string {
  return lock.startsWith('lock:{') ? '-' : queueKey(ref, bucketOf(lock)).slice('lock:queue:'.length)
}

/** Where it is told whose turn it is. */
export function freedChannel(lock: LockRef): string {
  return key('lock:freed', { bucket: bucketOf(lockKey(lock)), ...lock })
}

/** The marker of a bucket. */
export function markerIn(bucket: string): string {
  let marker = markers.get(bucket)
  if (marker === undefined) {
    marker = key('term:marker', { bucket })
    markers.set(bucket, marker)
  }
  return marker
}

/** One entry a bucket. */
const markers = new Map<string, string>()

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
