import { randomUUID } from 'node:crypto'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { LockDesk } from '../../src/locks/desk.js'
import type { Lease } from '../../src/locks/lease.js'
import { PostgresLocks } from '../../src/locks/postgres.js'
import { RedisLocks } from '../../src/locks/redis.js'
import { Locks } from '../../src/locks/tenant-locks.js'
import { migrate } from '../../src/postgres/migrate.js'
import { ServerDatabase } from '../../src/postgres/server.js'
import { BUCKETS, key } from '../../src/redis/keys.js'
import type { Term } from '../../src/term/term.js'
import { freshDatabase } from '../support/database.js'
import { eventually } from '../support/eventually.js'
import { startLink } from '../support/faults/link.js'
import { startRedis } from '../support/redis.js'
import { type Instance, reigns, startInstance } from '../term/fleet.js'
import { openPair, type Pair } from './pair.js'
import { reignOf } from './stores.js'

/** The longest lease of the fleet that these tests run, which is quicker than a real one. */
const TTL_MS = 2000

describe('locks at a turn', () => {
  let pair: Pair
  let desks: LockDesk[]
  let a: Locks
  let b: Locks
  beforeEach(async () => {
    pair = await openPair()
    const { database } = pair
    desks = pair.fleet.map(({ controller, redis }, i) => {
      const parts = { term: controller, database, redis: redis.client }
      return new LockDesk({ instanceId: `instance ${i}`, ...parts })
    })
    const [first, second] = desks.map((desk) => new Locks('acme', desk))
    a = first as Locks
    b = second as Locks
    await reigns(pair.fleet, 'redis')
  })
  afterEach(async () => {
    await Promise.all(desks.map((desk) => desk.close()))
    await pair.close()
  })

  it('stay with their holder away from a Redis that is killed, and back again', async () => {
    const lock = someName()
    let fence = 0
    await a.using(lock, { ttlMs: TTL_MS }, async (lease) => {
      fence = lease.fence
      const number = pair.reign.number
      await pair.server.kill()
      const away = await whileHeld(lease, reigns(pair.fleet, 'postgres', number))
      expect(await b.acquire(lock, { ttlMs: 500 })).toMatchObject({ busy: { holder: 'instance 0' } })
      await pair.server.start('empty')
      await whileHeld(lease, reigns(pair.fleet, 'redis', away))
      expect(await b.acquire(lock, { ttlMs: 500 })).toMatchObject({ busy: { holder: 'instance 0' } })
      expect(await lease.renew()).toBe(true)
    })
    const next = await leaseOf(b, lock)
    expect(next.fence).toBeGreaterThan(fence)
    await next.release()
  })

  it('stay with their holder on a Redis that was emptied, and nobody else gets one before its time', async () => {
    const [kept, left] = [someName(), someName()]
    await a.using(kept, { ttlMs: TTL_MS }, async (lease) => {
      const other = await leaseOf(a, left)
      const { number } = pair.reign
      await pair.server.ask('FLUSHALL')
      expect(await whileHeld(lease, reigns(pair.fleet, 'redis', number))).toBe(number + 1)
      const next = await leaseOf(b, left)
      expect(performance.now()).toBeGreaterThanOrEqual(other.deadline)
      expect(next.fence).toBeGreaterThan(other.fence)
      await next.release()
      expect(await lease.renew()).toBe(true)
      expect(await b.acquire(kept, { ttlMs: 500 })).toMatchObject({ busy: { holder: 'instance 0' } })
    })
    await (await leaseOf(b, kept)).release()
  })

  it('are known to the next store also if nobody renews them, and end in time', async () => {
    for (const store of ['postgres', 'redis'] as const) {
      const lock = someName()
      const lease = await leaseOf(a, lock)
      await pair.reignsOn(store)
      expect(lease.held).toBe(true)
      expect(await b.acquire(lock, { ttlMs: 500 })).toMatchObject({ busy: { holder: 'instance 0' } })
      const next = await leaseOf(b, lock, 5000)
      expect(lease.held).toBe(false)
      expect(performance.now()).toBeGreaterThanOrEqual(lease.deadline)
      expect(next.fence).toBeGreaterThan(lease.fence)
      await next.release()
    }
  })

  it('are given back on the other store', async () => {
    const [one, two] = [someName(), someName()]
    const leases = [await leaseOf(a, one), await leaseOf(a, two)]
    await pair.reignsOn('postgres')
    expect(await leases[0]?.release()).toBe(true)
    await (await leaseOf(b, one)).release()
    await pair.reignsOn('redis')
    expect(await leases[1]?.release()).toBe(true)
    await (await leaseOf(b, two)).release()
  })

  it('let those who wait have them afterwards', async () => {
    const lock = someName()
    const held = await leaseOf(a, lock)
    const waits = [leaseOf(b, lock, 20_000), leaseOf(b, lock, 20_000)]
    await eventually(async () => (await a.list()).some(({ waiting }) => waiting === 2), { what: 'they wait' })
    await pair.reignsOn('postgres')
    await eventually(async () => (await a.list()).some(({ waiting }) => waiting === 2), {
      what: 'they wait there',
    })
    await held.release()
    const [first, second] = waits as [Promise<Lease>, Promise<Lease>]
    const one = await first
    await one.release()
    expect((await second).fence).toBeGreaterThan(one.fence)
    await (await second).release()
  })

  it('stay broken', async () => {
    const lock = someName()
    const old = await leaseOf(a, lock)
    expect(await b.break(lock)).toBe(true)
    await pair.reignsOn('postgres')
    // At once: what the old holder's instance saved is not heeded.
    const next = await leaseOf(b, lock, 0)
    expect(old.held).toBe(true)
    expect(next.fence).toBeGreaterThan(old.fence)
    await next.release()
  })

  it('are held by one at a time while the stores change again and again', async () => {
    const names = [someName(), someName(), someName()]
    const held = new Map<string, Lease>()
    const last = new Map<string, number>()
    const over = new AbortController()
    let grants = 0
    const compete = async (locks: Locks, i: number) => {
      const name = names[i % names.length] as string
      while (!over.signal.aborted) {
        const got = await locks.acquire(name, { ttlMs: 400 + 300 * (i % 5), waitMs: 10_000 })
        if ('busy' in got) continue
        const { lease } = got
        const before = held.get(name)
        expect(before?.held ?? false).toBe(false)
        expect(lease.fence).toBeGreaterThan(last.get(name) ?? 0)
        held.set(name, lease)
        last.set(name, lease.fence)
        grants += 1
        // Some hold it to its end, some renew it, some give it back.
        await new Promise((resolve) => setTimeout(resolve, 20 + 40 * (i % 3)))
        if (i % 4 === 1) await lease.renew().catch(() => false)
        if (i % 4 !== 2) await lease.release().catch(() => false)
      }
    }
    const competing = Array.from({ length: 12 }, (_, i) => compete(i % 2 === 0 ? a : b, i))
    const all = Promise.all(competing)
    for (let round = 0; round < 4; round++) {
      for (const store of ['postgres', 'redis'] as const) await Promise.race([pair.reignsOn(store), all])
      const before = grants
      await Promise.race([eventually(() => grants > before + 5, { what: 'locks are granted' }), all])
    }
    over.abort()
    await all
    expect(grants).toBeGreaterThan(50)
  })
})

describe('a lock whose holder has not been heard of', () => {
  /**
   * An instance holds a lock and falls silent: PostgreSQL does not hear it any more, Redis is killed, and the other
   * one turns alone. Answers by how much the other one got the lock too early.
   */
  async function tooEarlyMs(heed: (term: Term) => Term): Promise<number> {
    const [server, fresh] = await Promise.all([startRedis(), freshDatabase()])
    const link = await startLink(fresh.url)
    const fleet: Instance[] = []
    const database = new ServerDatabase({ url: fresh.url, listenUrl: null, poolSize: 2 })
    const desks: LockDesk[] = []
    try {
      for (const url of [link.url, fresh.url]) fleet.push(await startInstance(url, url, server.url))
      await reigns(fleet, 'redis')
      const [silent, other] = fleet as [Instance, Instance]
      const open = (term: Term, { redis }: Instance) => {
        const desk = new LockDesk({ instanceId: 'x', term, database, redis: redis.client })
        desks.push(desk)
        return new Locks('acme', desk)
      }
      const [locks, others] = [open(silent.controller, silent), open(heed(other.controller), other)]
      const lease = await leaseOf(locks, 'x')
      link.blackHole()
      await server.kill()
      await leaseOf(others, 'x', 20_000)
      return lease.deadline - performance.now()
    } finally {
      await link.heal()
      await Promise.all(desks.map((desk) => desk.close()))
      await Promise.all(fleet.map((instance) => instance.close()))
      await database.close()
      await link.close()
      await Promise.all([server.remove(), fresh.drop()])
    }
  }

  it('is granted to nobody else before its time is over', async () => {
    expect(await tooEarlyMs((term) => term)).toBeLessThanOrEqual(0)
  })

  it('would have two holders without the quarantine', async () => {
    const unheeding = (term: Term): Term => ({
      get reign() {
        return term.reign
      },
      get last() {
        return term.last
      },
      operate: (run, options) => term.operate((reign) => run({ ...reign, quarantined: false }), options),
      onChange: (told) => term.onChange(told),
      join: (participant) => term.join(participant),
    })
    expect(await tooEarlyMs(unheeding)).toBeGreaterThan(0)
  })
})

it('takes leases into PostgreSQL, never instead of a higher fence and never shorter', async () => {
  const fresh = await freshDatabase()
  const database = new ServerDatabase({ url: fresh.url, listenUrl: null, poolSize: 2 })
  try {
    await migrate(database)
    const store = new PostgresLocks(database)
    const facts = { claim: 'c', holder: 'h', since: 1, ttlMs: 1000 }
    const lease = { tenant: 'acme', name: 'x', fence: 7, ...facts, leftMs: 5000 }
    const reclaim = (over: Partial<typeof lease>) =>
      database.scoped('all', (tx) => store.reclaim(tx, [{ ...lease, ...over }], 1))
    const held = () => store.look(lease, reignOf('postgres', 1))
    await reclaim({})
    await reclaim({ leftMs: 1000 })
    expect((await held())?.leftMs).toBeGreaterThan(4000)
    await reclaim({ fence: 6, leftMs: 9000 })
    expect(await held()).toMatchObject({ fence: 7 })
    expect((await held())?.leftMs).toBeLessThanOrEqual(5000)
    await reclaim({ fence: 8, leftMs: 2000 })
    expect(await held()).toMatchObject({ fence: 8 })
    expect((await held())?.leftMs).toBeLessThanOrEqual(2000)
  } finally {
    await database.close()
    await fresh.drop()
  }
})

it('carries leases to Redis once, and not into a reign that is open', async () => {
  const pair = await openPair()
  try {
    const redis = pair.fleet[0]?.redis.client
    if (!redis) throw new Error('no Redis')
    await reigns(pair.fleet, 'redis')
    const store = new RedisLocks(redis)
    const { number } = pair.reign
    const facts = { claim: 'c', holder: 'h', since: 1, ttlMs: 1000 }
    const lease = { tenant: 'acme', name: 'x', fence: 7, ...facts, leftMs: 5000 }
    for (const late of [number, number - 1])
      await expect(store.carry([lease], late)).rejects.toMatchObject({ code: 'TERM_UNKNOWN' })
    const next = { ...pair.reign, number: number + 1, sign: 'next' }
    const left = async () => (await store.look(lease, next))?.leftMs ?? 0
    await store.carry([lease], number + 1)
    expect(await left()).toBeGreaterThan(4000)
    // Another attempt, which knows less.
    await store.carry([{ ...lease, leftMs: 1000 }], number + 1)
    expect(await left()).toBeGreaterThan(4000)
    await store.carry([{ ...lease, fence: 6, leftMs: 9000 }], number + 1)
    expect(await store.look(lease, next)).toMatchObject({ fence: 7 })
    await store.carry([{ ...lease, fence: 8, leftMs: 2000 }], number + 1)
    expect(await store.look(lease, next)).toMatchObject({ fence: 8 })
    expect(await left()).toBeLessThanOrEqual(2000)
    expect(await redis.call('get', key('term:marker', { bucket: BUCKETS[0] ?? '' }))).toContain(
      `${number}:open`,
    )
  } finally {
    await pair.close()
  }
})

const someName = () => `lock-${randomUUID()}`

async function leaseOf(locks: Locks, name: string, waitMs = 5000): Promise<Lease> {
  const got = await locks.acquire(name, { ttlMs: TTL_MS, waitMs })
  if ('lease' in got) return got.lease
  throw new Error('the lock is busy', { cause: got.busy })
}

/** What is awaited, unless the lease ends before. */
function whileHeld<T>(lease: Lease, awaited: Promise<T>): Promise<T> {
  const lost = new Promise<never>((_, reject) =>
    lease.signal.addEventListener('abort', () => reject(lease.signal.reason)),
  )
  return Promise.race([awaited, lost])
}
