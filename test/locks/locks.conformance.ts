import { randomUUID } from 'node:crypto'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { LockDesk } from '../../src/locks/desk.js'
import type { Lease } from '../../src/locks/lease.js'
import { LOCK_LIMITS, PATIENCE_MS } from '../../src/locks/locks.js'
import { Locks } from '../../src/locks/tenant-locks.js'
import { eventually } from '../support/eventually.js'
import type { OpenStore } from './stores.js'

/** What users count on, on every store; two desks are two processes. */
export function locksConformance(name: string, open: () => Promise<OpenStore>): void {
  describe(`what locks promise on ${name}`, () => {
    let at: OpenStore
    let desks: LockDesk[]
    let a: Locks
    let b: Locks
    beforeAll(async () => {
      at = await open()
      const { database, redis } = at
      desks = ([0, 1] as const).map((i) => {
        return new LockDesk({ instanceId: 'ab'.charAt(i), term: at.term(i), database, redis })
      })
      const [first, second] = desks.map((desk) => new Locks('acme', desk))
      a = first as Locks
      b = second as Locks
    })
    afterAll(async () => {
      await Promise.all((desks ?? []).map((desk) => desk.close()))
      await at?.close()
    })

    it('runs one body at a time, over both processes, each under a greater fence', async () => {
      const lock = someName()
      let inside = 0
      const fences: number[] = []
      const body = async (lease: Lease) => {
        inside += 1
        expect(inside).toBe(1)
        expect(lease.held).toBe(true)
        fences.push(lease.fence)
        await new Promise((resolve) => setImmediate(resolve))
        inside -= 1
        return lease.fence
      }
      const runs = Array.from({ length: 40 }, (_, i) =>
        (i % 2 === 0 ? a : b).using(lock, { ttlMs: 30_000 }, body),
      )
      const results = await Promise.all(runs)
      expect(new Set(results).size).toBe(40)
      expect(fences).toEqual([...fences].sort((x, y) => x - y))
    })

    it('lets those who wait in two processes have it as they came', async () => {
      const lock = someName()
      const held = await leaseOf(a, lock)
      const order: number[] = []
      const waits: Promise<void>[] = []
      for (let i = 0; i < 12; i++) {
        const before = waiting()
        waits.push(
          (i % 3 === 0 ? a : b).using(lock, { ttlMs: 30_000 }, async () => {
            order.push(i)
          }),
        )
        await eventually(async () => waiting() > before && (await inLine(lock)) === i + 1, {
          what: `${i} waits`,
          everyMs: 2,
        })
      }
      await held.release()
      await Promise.all(waits)
      expect(order).toEqual(Array.from({ length: 12 }, (_, i) => i))
    })

    it('answers who has the lock, at once or after a wait', async () => {
      const lock = someName()
      const held = await leaseOf(a, lock, { holder: 'Ann' })
      for (const busy of [
        await b.acquire(lock, { ttlMs: 1000 }),
        await b.acquire(lock, { ttlMs: 1000, waitMs: 150 }),
        await b.tryUsing(lock, { ttlMs: 1000 }, () => 'never'),
      ]) {
        expect(busy).toMatchObject({ busy: { holder: 'Ann', since: expect.stringMatching(/^\d{4}-.*Z$/) } })
      }
      await expect(b.using(lock, { ttlMs: 1000, waitMs: 50 }, () => 'never')).rejects.toMatchObject({
        code: 'LOCK_BUSY',
        message: expect.stringContaining('Ann'),
        retryAfterMs: expect.any(Number),
      })
      // Whoever gave up holds up nobody.
      await emptyLine(lock)
      await held.release()
      expect(await b.tryUsing(lock, { ttlMs: 1000 }, () => 'now')).toEqual({ result: 'now' })
    })

    it('stops waiting when its signal fires, and leaves the line', async () => {
      const lock = someName()
      const held = await leaseOf(a, lock)
      const stop = new AbortController()
      const waits = b.using(lock, { ttlMs: 1000, waitMs: 60_000, signal: stop.signal }, () => 'never')
      await eventually(async () => (await inLine(lock)) === 1, { what: 'it waits' })
      stop.abort(new Error('enough'))
      await expect(waits).rejects.toMatchObject({ code: 'ABORTED', cause: { message: 'enough' } })
      await emptyLine(lock)
      await held.release()
      await expect(
        b.using(lock, { ttlMs: 1000, signal: AbortSignal.abort() }, () => 'never'),
      ).rejects.toMatchObject({ code: 'ABORTED' })
      expect(await a.tryUsing(lock, { ttlMs: 1000 }, () => 'free')).toEqual({ result: 'free' })
    })

    it('gives back what is granted to whoever has just given up', async () => {
      const lock = someName()
      for (let i = 0; i < 20; i++) {
        const stop = new AbortController()
        const asked = b.acquire(lock, { ttlMs: 60_000, waitMs: 60_000, signal: stop.signal })
        if (i % 2 === 0) await new Promise((resolve) => setImmediate(resolve))
        stop.abort()
        const left = await asked.then(
          (got) => ('lease' in got ? got.lease : undefined),
          () => undefined,
        )
        await left?.release()
        await using_(a, lock)
      }
    })

    it('keeps a lock for as long as its body runs, however short its ttl', async () => {
      const lock = someName()
      const began = performance.now()
      await a.using(lock, { ttlMs: 300 }, async (lease) => {
        while (performance.now() - began < 1500) {
          expect(lease.held).toBe(true)
          expect(await b.acquire(lock, { ttlMs: 300 })).toMatchObject({ busy: { holder: 'a' } })
          await new Promise((resolve) => setTimeout(resolve, 20))
        }
        expect(lease.signal.aborted).toBe(false)
        expect(lease.leftMs).toBeGreaterThan(0)
      })
      await using_(b, lock)
    })

    it('lets a lease go that is not renewed, first for its holder and then for the others', async () => {
      const lock = someName()
      const lease = await leaseOf(a, lock, { ttlMs: 300 })
      const ended = new Promise<number>((resolve) =>
        lease.signal.addEventListener('abort', () => resolve(performance.now())),
      )
      const next = await leaseOf(b, lock, { waitMs: 5000 })
      const granted = performance.now()
      expect(await ended).toBeLessThan(granted)
      expect(lease.held).toBe(false)
      expect(lease.signal.reason).toMatchObject({ code: 'LOCK_LOST' })
      expect(next.fence).toBeGreaterThan(lease.fence)
      expect(await lease.renew()).toBe(false)
      expect(await lease.release()).toBe(false)
      expect(next.held && (await b.list()).some((one) => one.fence === next.fence)).toBe(true)
      await next.release()
    })

    it('is renewed by hand, for longer or for as long as before', async () => {
      const lock = someName()
      const lease = await leaseOf(a, lock, { ttlMs: 1000 })
      const before = lease.deadline
      expect(await lease.renew()).toBe(true)
      expect(lease.deadline).toBeGreaterThan(before)
      expect(await lease.renew(20_000)).toBe(true)
      expect(lease.leftMs).toBeGreaterThan(19_000)
      // A shorter one takes nothing back.
      expect(await lease.renew(100)).toBe(true)
      expect(lease.leftMs).toBeGreaterThan(18_000)
      expect(await b.renew(lock, lease.fence)).toMatchObject({ ttlMs: 100 })
      expect(await b.renew(lock, lease.fence, 30_000)).toMatchObject({ ttlMs: 30_000 })
      expect(await b.renew(lock, lease.fence + 1)).toBeUndefined()
      expect(await b.release(lock, lease.fence + 1)).toBe(false)
      expect(await b.release(lock, lease.fence)).toBe(true)
      expect(await lease.renew()).toBe(false)
      expect(lease.held).toBe(false)
    })

    it('is taken from its holder by breaking it, who hears of it with the next renewal', async () => {
      const lock = someName()
      let fence = 0
      const broken = a.using(lock, { ttlMs: 300 }, async (lease) => {
        fence = lease.fence
        await new Promise((resolve) => lease.signal.addEventListener('abort', resolve))
        throw lease.signal.reason
      })
      const lost = expect(broken).rejects.toMatchObject({ code: 'LOCK_LOST' })
      await eventually(async () => (await b.list()).some(({ name: held }) => held === lock), {
        what: 'it is held',
      })
      const waits = leaseOf(b, lock, { waitMs: 10_000 })
      await eventually(async () => (await inLine(lock)) === 1, { what: 'somebody waits' })
      expect(await b.break(lock)).toBe(true)
      const next = await waits
      expect(next.fence).toBeGreaterThan(fence)
      await lost
      expect(next.held && (await b.list()).some((held) => held.fence === next.fence)).toBe(true)
      await next.release()
      expect(await b.break(lock)).toBe(false)
    })

    it('says that a body was not protected to its end', async () => {
      const lock = someName()
      const done = a.using(lock, { ttlMs: 10_000 }, async () => {
        await b.break(lock)
        await a.using(`${lock}-other`, { ttlMs: 1000 }, () => 'in between')
        return 'done'
      })
      // Nobody has told it: its own clock says that it holds the lock.
      expect(await done).toBe('done')
      const lost = a.using(lock, { ttlMs: 300 }, async (lease) => {
        await b.break(lock)
        await eventually(() => lease.signal.aborted, { what: 'it is told' })
        return 'done'
      })
      await expect(lost).rejects.toMatchObject({ code: 'LOCK_LOST' })
    })

    it('refuses to wait for itself', async () => {
      const [lock, other] = [someName(), someName()]
      await a.using(lock, { ttlMs: 30_000 }, async () => {
        const again = () => a.using(lock, { ttlMs: 1000 }, () => 'never')
        await expect(again()).rejects.toMatchObject({ code: 'LOCK_HELD', temporary: false })
        await expect(a.acquire(lock, { ttlMs: 1000 })).rejects.toMatchObject({ code: 'LOCK_HELD' })
        await a.using(other, { ttlMs: 30_000 }, async () => {
          await new Promise((resolve) => setTimeout(resolve, 1))
          await expect(again()).rejects.toMatchObject({ code: 'LOCK_HELD' })
        })
        expect(await a.tryUsing(other, { ttlMs: 1000 }, () => 'another')).toEqual({ result: 'another' })
        // Another process is another matter.
        expect(await b.acquire(lock, { ttlMs: 1000 })).toMatchObject({ busy: {} })
      })
      let late: Promise<string> = Promise.resolve('')
      await a.using(lock, { ttlMs: 30_000 }, async () => {
        late = eventually(() => a.using(lock, { ttlMs: 1000 }, () => 'after'), { what: 'the body ended' })
      })
      expect(await late).toBe('after')
    })

    it('gives the lock back when the body fails', async () => {
      const lock = someName()
      const fails = a.using(lock, { ttlMs: 30_000 }, () => {
        throw new Error('oops')
      })
      await expect(fails).rejects.toThrow('oops')
      await using_(b, lock)
    })

    it('refuses times, names and fences beyond their bounds before anything is asked', async () => {
      const { longestMs, shortestMs, longestWaitMs } = LOCK_LIMITS
      const refused = (code: string, part: string) => ({ code, message: expect.stringContaining(part) })
      for (const ttlMs of [
        longestMs + 1,
        shortestMs - 1,
        0,
        -1,
        1.5,
        Number.NaN,
        '1000' as unknown as number,
      ])
        await expect(a.acquire('x', { ttlMs })).rejects.toMatchObject(
          refused('INVALID_ARGUMENT', String(longestMs)),
        )
      await expect(a.acquire('x', { ttlMs: 1000, waitMs: longestWaitMs + 1 })).rejects.toMatchObject(
        refused('INVALID_ARGUMENT', String(longestWaitMs)),
      )
      for (const bad of ['', 'x'.repeat(257), 'a\nb', '\ud800', '.'])
        await expect(a.acquire(bad, { ttlMs: 1000 })).rejects.toMatchObject({ code: 'INVALID_NAME' })
      await expect(a.acquire('x', { ttlMs: 1000, holder: '' })).rejects.toMatchObject({
        code: 'INVALID_NAME',
      })
      for (const fence of [0, -1, 0.5, 2 ** 60])
        await expect(a.renew('x', fence)).rejects.toMatchObject({ code: 'INVALID_ARGUMENT' })
      await expect(a.list({ limit: 0 })).rejects.toMatchObject({ code: 'INVALID_ARGUMENT' })
      expect((await a.list()).map(({ name: held }) => held)).not.toContain('x')
    })

    it('keeps tenants apart', async () => {
      const lock = someName()
      const held = await leaseOf(a, lock)
      const other = new Locks('other', desks[0] as LockDesk)
      expect(await other.list()).toEqual([])
      expect(await other.break(lock)).toBe(false)
      expect(await other.release(lock, held.fence)).toBe(false)
      expect(await other.renew(lock, held.fence)).toBeUndefined()
      const own = await leaseOf(other, lock)
      expect(await own.release()).toBe(true)
      expect(await held.release()).toBe(true)
    })

    /** Sooner than a place in line ends by itself. */
    const emptyLine = (lock: string) =>
      eventually(async () => (await inLine(lock)) === 0, { withinMs: PATIENCE_MS / 2, what: 'an empty line' })
    const waiting = () => desks.reduce((sum, desk) => sum + desk.figures.waiting, 0)
    const inLine = async (lock: string) => {
      const held = await at.store.look({ tenant: 'acme', name: lock }, at.reign)
      return held?.waiting ?? -1
    }
  })
}

const someName = () => `lock-${randomUUID()}`

async function leaseOf(
  locks: Locks,
  name: string,
  over: { ttlMs?: number; waitMs?: number; holder?: string } = {},
): Promise<Lease> {
  const got = await locks.acquire(name, { ttlMs: 30_000, ...over })
  if ('lease' in got) return got.lease
  throw new Error('the lock is busy', { cause: got.busy })
}

/** It can be had soon. */
async function using_(locks: Locks, name: string): Promise<void> {
  await locks.using(name, { ttlMs: 1000, waitMs: 2000 }, () => undefined)
}
