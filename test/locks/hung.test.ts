import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { LockDesk } from '../../src/locks/desk.js'
import { keptMs } from '../../src/locks/locks.js'
import { Locks } from '../../src/locks/tenant-locks.js'
import type { RedisClient } from '../../src/redis/client.js'
import { BUCKETS, key } from '../../src/redis/keys.js'
import type { Reign } from '../../src/term/term.js'
import { openClient } from '../redis/open.js'
import { eventually } from '../support/eventually.js'
import { type RedisServer, startRedis } from '../support/redis.js'
import { reignOf } from './stores.js'

describe('locks on a Redis that hangs, or has just been taken over', () => {
  let server: RedisServer
  let desk: LockDesk
  let locks: Locks
  let redis: RedisClient
  beforeAll(async () => {
    server = await startRedis()
    redis = openClient(server.url, {}, { commandTimeoutMs: 400 })
    await redis.ready(5000)
    const reign = reignOf('redis', 1)
    for (const bucket of BUCKETS) await redis.call('set', key('term:marker', { bucket }), reign.sign)
    desk = deskUnder(reign)
    locks = new Locks('acme', desk)
  })
  const deskUnder = (reign: Reign) => {
    const term = {
      reign,
      last: reign,
      operate: <T>(run: (now: Reign) => Promise<T>) => run(reign),
      onChange: () => () => undefined,
      join: () => undefined,
    }
    return new LockDesk({ instanceId: 'one', term, database: undefined, redis })
  }
  beforeEach(async () => {
    server.thaw()
    await redis.ready(10_000)
  })
  afterAll(async () => {
    server.thaw()
    await desk.close()
    redis.close()
    await server.remove()
  })

  it('tell their holder before the store lets anybody else have them', async () => {
    let lastRenewal = 0
    const lost = locks.using('x', { ttlMs: 1500 }, async (lease) => {
      const before = lease.deadline
      await eventually(() => lease.deadline > before, { what: 'a renewal' })
      lastRenewal = performance.now()
      server.freeze()
      await new Promise((resolve) => lease.signal.addEventListener('abort', resolve))
      const told = performance.now()
      // It has not been asked for again since: what the store keeps of it began after this deadline's question.
      expect(told - lease.deadline).toBeLessThan(150)
      expect(told - lastRenewal).toBeLessThan(keptMs(1500) - 20)
      expect(lease.held).toBe(false)
    })
    await expect(lost).rejects.toMatchObject({ code: 'LOCK_LOST' })
  })

  it('are said to be in quarantine where nothing may be granted after a turn', async () => {
    const after = deskUnder(reignOf('redis', 1, true))
    const others = new Locks('acme', after)
    expect(await others.acquire('q', { ttlMs: 1000 })).toEqual({
      busy: { holder: null, since: null, retryAfterMs: 1000, quarantined: true },
    })
    await expect(others.using('q', { ttlMs: 1000, waitMs: 50 }, () => 'never')).rejects.toMatchObject({
      code: 'LOCK_BUSY',
      message: expect.stringContaining('from the term before'),
    })
    await after.close()
  })

  it('are refused within the time-out of a command, or when the wait is over', async () => {
    server.freeze()
    const began = performance.now()
    await expect(locks.acquire('y', { ttlMs: 1000 })).rejects.toMatchObject({ code: 'STORE_UNAVAILABLE' })
    expect(performance.now() - began).toBeLessThan(2000)
    await expect(locks.acquire('y', { ttlMs: 1000, waitMs: 700 })).rejects.toMatchObject({
      code: 'STORE_UNAVAILABLE',
    })
    expect(performance.now() - began).toBeLessThan(5000)
  })

  it('are not held by who hears of it when its time is over', async () => {
    server.freeze()
    const asked = locks.acquire('late', { ttlMs: 100 })
    await new Promise((resolve) => setTimeout(resolve, 200))
    server.thaw()
    await expect(asked).rejects.toMatchObject({ code: 'OUTCOME_UNKNOWN' })
    await eventually(async () => (await locks.list()).length === 0, { what: 'nothing is held' })
  })

  it('are had by who waits once it goes on, and nothing that was asked meanwhile holds them', async () => {
    server.freeze()
    const asked = Array.from({ length: 5 }, () =>
      locks.acquire('z', { ttlMs: 60_000 }).catch(() => undefined),
    )
    const waits = locks.acquire('z', { ttlMs: 60_000, waitMs: 20_000 })
    await Promise.all(asked)
    server.thaw()
    // What arrived late may have been granted to nobody: it is given back.
    const got = await waits
    if ('busy' in got) throw new Error('it is still held', { cause: got.busy })
    await got.lease.release()
    await eventually(async () => (await locks.list()).length === 0, { what: 'nothing is held' })
  })
})
