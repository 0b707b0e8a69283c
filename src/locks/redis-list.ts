import type { Master, RedisClient } from '../redis/client.js'
import { tenantGlob } from '../redis/keys.js'
import type { Reign } from '../term/term.js'
import { bucketOf, lockKey, lockOf, queueKey } from './keys.js'
import type { HeldLock, LockRef } from './locks.js'

/** Every kind of key that a lock may have. */
const KINDS = ['lock', 'lock:flow', 'lock:import', 'lock:analysis'] as const
/** Keys that the server looks at in one step: some tenths of a millisecond. */
const STEP = 1000

/** The locks of a tenant that are held, by a walk over all keys: for people, not for programs in a hurry. */
export async function heldLocks(
  redis: RedisClient,
  tenant: string,
  limit: number,
  reign: Reign,
): Promise<HeldLock[]> {
  const found = (await redis.onEachMaster((master) => locksOn(master, tenant))).flat()
  const names = new Map(found.map((lock) => [lock.name, lock]))
  const sorted = [...names.values()].sort((a, b) => (a.name < b.name ? -1 : 1))
  const held: HeldLock[] = []
  for (let from = 0; from < sorted.length && held.length < limit; from += limit) {
    const looks = sorted.slice(from, from + limit).map((lock) => heldLock(redis, lock, reign))
    for (const lock of await Promise.all(looks)) if (lock && held.length < limit) held.push(lock)
  }
  return held
}

async function locksOn(master: Master, tenant: string): Promise<LockRef[]> {
  const locks: LockRef[] = []
  for (const kind of KINDS) {
    const glob = tenantGlob(kind, tenant) as string
    for (let cursor = '0'; ; ) {
      const reply = await master.call('scan', cursor, 'MATCH', glob, 'COUNT', STEP)
      const [next, keys] = Array.isArray(reply) ? reply : []
      for (const key of Array.isArray(keys) ? keys : []) {
        const lock = lockOf(String(key))
        if (lock) locks.push(lock)
      }
      cursor = String(next ?? '0')
      if (cursor === '0') break
    }
  }
  return locks
}

/** A lock as it is held; undefined if nobody holds it. */
export async function heldLock(
  redis: RedisClient,
  ref: LockRef,
  reign: Reign,
): Promise<HeldLock | undefined> {
  const lock = lockKey(ref)
  const [value, left, waiting] = await Promise.all([
    redis.call('get', lock),
    redis.call('pttl', lock),
    redis.call('zcard', queueKey(ref, bucketOf(lock))),
  ])
  // As lock-take.lua writes it.
  const match = /^(\S+) (\S+) (\S+) \S+ \S+ \S+ (.*)$/s.exec(typeof value === 'string' ? value : '')
  const [, number, fence, since, holder = ''] = match ?? []
  if (number !== String(reign.number)) return undefined
  return {
    ...ref,
    fence: Number(fence),
    holder,
    since: Number(since),
    leftMs: Math.max(0, Number(left)),
    waiting: Number(waiting),
  }
}
