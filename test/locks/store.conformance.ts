import { randomUUID } from 'node:crypto'
import fc from 'fast-check'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import type { Ask, Busy, LeaseRef, LockRef, MovedLease, Taken } from '../../src/locks/locks.js'
import { keptMs, LOCK_LIMITS } from '../../src/locks/locks.js'
import { fenceFloor } from '../../src/term/term.js'
import { eventually } from '../support/eventually.js'
import { type OpenStore, one, reignOf } from './stores.js'

/** What every store of locks must do. */
export function lockConformance(name: string, open: () => Promise<OpenStore>): void {
  describe(`locks on ${name}`, () => {
    let at: OpenStore
    beforeAll(async () => {
      at = await open()
    })
    afterAll(() => at?.close())

    const take = (ask: Ask, reign = at.reign) => one(at.store.take([ask], reign))
    const renew = (lease: LeaseRef, ttlMs: number | undefined, reign = at.reign) =>
      one(at.store.renew([{ ...lease, ttlMs }], reign))
    const giveBack = (lock: LockRef, which: { fence: number } | { claim: string }) => {
      const { tenant, name } = lock
      return one(at.store.giveBack([{ tenant, name, ...which }], at.reign))
    }

    it('grants a lock to one at a time, with a fence that grows within its reign', async () => {
      const lock = someLock()
      const first = fenceOf(await take(ask(lock, { claim: 'a', holder: 'Ann' })))
      expect(first).toBeGreaterThan(fenceFloor(at.reign.number))
      const busy = busyOf(await take(ask(lock, { claim: 'b' })))
      expect(busy).toMatchObject({ holder: 'Ann', first: false })
      expect(busy.leftMs).toBeGreaterThan(25_000)
      expect(busy.leftMs).toBeLessThanOrEqual(keptMs(30_000))
      expect(Math.abs((busy.since ?? 0) - Date.now())).toBeLessThan(5000)
      expect(await giveBack(lock, { fence: first })).toEqual({ released: true, next: undefined })
      const second = fenceOf(await take(ask(lock, { claim: 'b' })))
      expect(second).toBeGreaterThan(first)
      expect(second).toBeLessThan(fenceFloor(at.reign.number + 1))
    })

    it('gives those who ask together fences of their own, and takes back together', async () => {
      const [a, b, c] = [someLock(), someLock(), someLock()]
      const ofC = fenceOf(await take(ask(c, { claim: 'before' })))
      const asks = [
        ask(a, { claim: '1' }),
        ask(c, { claim: '2' }),
        ask(a, { claim: '3', patienceMs: 60_000 }),
        ask(b, { claim: '4' }),
        ask(a, { claim: '1' }),
      ]
      const [ofA, busyC, busyA, ofB, again] = await at.store.take(asks, at.reign)
      expect(busyOf(busyC as Taken)).toMatchObject({ first: false })
      expect(busyOf(busyA as Taken)).toMatchObject({ first: true })
      const [fenceA, fenceB] = [fenceOf(ofA as Taken), fenceOf(ofB as Taken)]
      expect(again).toEqual({ fence: fenceA })
      const returns = [
        { ...a, fence: fenceA },
        { ...a, fence: fenceA },
        { ...b, fence: fenceB + 1 },
        { ...b, fence: fenceB },
      ]
      const given = await at.store.giveBack(returns, at.reign)
      const next = { next: '3' }
      expect(given).toMatchObject([
        { released: true, ...next },
        { released: false, ...next },
        { released: false },
        { released: true },
      ])
      expect(await giveBack(c, { fence: ofC })).toMatchObject({ released: true })
      // Whatever was counted for those who got none, the next fence is greater.
      for (const [lock, old] of [
        [a, fenceA],
        [b, fenceB],
        [c, ofC],
      ] as const)
        expect(fenceOf(await take(ask(lock, { claim: '3', patienceMs: 60_000 })))).toBeGreaterThan(old)
    })

    it('gives a claim the lease it has: its first answer may have been lost', async () => {
      const lock = someLock()
      const fence = fenceOf(await take(ask(lock, { claim: 'a' })))
      expect(fenceOf(await take(ask(lock, { claim: 'a' })))).toBe(fence)
      expect(busyOf(await take(ask(lock, { claim: 'b' }))).holder).toBe('somebody')
    })

    it('keeps a lease longer than its holder counts on it, and not for ever', async () => {
      const lock = someLock()
      const began = performance.now()
      const first = fenceOf(await take(ask(lock, { claim: 'a', ttlMs: 500 })))
      const second = await eventually(
        async () => {
          const taken = await take(ask(lock, { claim: 'b' }))
          return 'fence' in taken && taken.fence
        },
        { everyMs: 2, what: 'the end of the lease' },
      )
      const took = performance.now() - began
      // Clock rates may differ by 10 %.
      expect(took).toBeGreaterThanOrEqual(500 * 1.1)
      expect(second).toBeGreaterThan(first)
      expect(await renew({ ...lock, fence: first }, undefined)).toBeUndefined()
      expect(await giveBack(lock, { fence: first })).toMatchObject({ released: false })
    })

    it('renews under the right fence alone, and never shortens', async () => {
      const lock = someLock()
      const fence = fenceOf(await take(ask(lock, { claim: 'a', holder: 'Ann', ttlMs: 20_000 })))
      const left = async () => (await at.store.look(lock, at.reign))?.leftMs ?? 0
      const renewed = (of: number, ttlMs?: number) => renew({ ...lock, fence: of }, ttlMs)
      expect(await renewed(fence + 1, 60_000)).toBeUndefined()
      expect(await renewed(fence - 1, 60_000)).toBeUndefined()
      expect(await left()).toBeLessThanOrEqual(keptMs(20_000))
      expect(await renewed(fence, 60_000)).toMatchObject({ claim: 'a', holder: 'Ann', ttlMs: 60_000 })
      expect(await left()).toBeGreaterThan(60_000)
      expect(await renewed(fence, 100)).toMatchObject({ ttlMs: 100 })
      expect(await left()).toBeGreaterThan(60_000)
      // For as long as it was asked for last.
      expect(await renewed(fence)).toMatchObject({ ttlMs: 100 })
      expect(await renew({ ...someLock(), fence }, 1000)).toBeUndefined()
    })

    it('lets those who wait have it in the order of arrival, and nobody pass them', async () => {
      const lock = someLock()
      const waiting = (claim: string) => ask(lock, { claim, patienceMs: 5000 })
      let fence = fenceOf(await take(ask(lock, { claim: 'a' })))
      for (const [place, claim] of ['b', 'c', 'd'].entries())
        expect(busyOf(await take(waiting(claim)))).toMatchObject({ first: place === 0 })
      // Asked again they keep their places.
      for (const [place, claim] of ['b', 'c', 'd'].entries())
        expect(busyOf(await take(waiting(claim)))).toMatchObject({ first: place === 0 })
      for (const claim of ['b', 'c', 'd']) {
        expect(await giveBack(lock, { fence })).toEqual({ released: true, next: claim })
        expect(busyOf(await take(ask(lock, { claim: 'newcomer' })))).toMatchObject({ holder: undefined })
        for (const other of ['d', 'c', 'b'].filter((one) => one > claim)) busyOf(await take(waiting(other)))
        fence = fenceOf(await take(waiting(claim)))
      }
      expect(await giveBack(lock, { fence })).toEqual({ released: true, next: undefined })
    })

    it('forgets who leaves the line, and skips who has died in it', async () => {
      const lock = someLock()
      const fence = fenceOf(await take(ask(lock, { claim: 'a' })))
      busyOf(await take(ask(lock, { claim: 'leaves', patienceMs: 60_000 })))
      busyOf(await take(ask(lock, { claim: 'dies', patienceMs: 300 })))
      busyOf(await take(ask(lock, { claim: 'lives', patienceMs: 60_000 })))
      expect(await giveBack(lock, { claim: 'leaves' })).toEqual({ released: false, next: undefined })
      expect(await giveBack(lock, { fence })).toEqual({ released: true, next: 'dies' })
      const began = performance.now()
      await eventually(
        async () => 'fence' in (await take(ask(lock, { claim: 'lives', patienceMs: 60_000 }))),
        {
          everyMs: 5,
          what: 'the turn of who lives',
        },
      )
      expect(performance.now() - began).toBeLessThan(2000)
    })

    it('tells the next when the first leaves a free lock', async () => {
      const lock = someLock()
      const fence = fenceOf(await take(ask(lock, { claim: 'a' })))
      busyOf(await take(ask(lock, { claim: 'b', patienceMs: 60_000 })))
      busyOf(await take(ask(lock, { claim: 'c', patienceMs: 60_000 })))
      await giveBack(lock, { fence })
      expect(await giveBack(lock, { claim: 'b' })).toEqual({ released: false, next: 'c' })
    })

    it('gives back by claim what the claim has', async () => {
      const lock = someLock()
      fenceOf(await take(ask(lock, { claim: 'a' })))
      expect(await giveBack(lock, { claim: 'b' })).toMatchObject({ released: false })
      expect(await giveBack(lock, { claim: 'a' })).toMatchObject({ released: true })
      expect(await giveBack(lock, { claim: 'a' })).toMatchObject({ released: false })
    })

    it('lets no more than the bound wait, and counts no dead ones', async () => {
      const lock = someLock()
      fenceOf(await take(ask(lock, { claim: 'a' })))
      const { waiters } = LOCK_LIMITS
      const line = async (count: number, patienceMs: number, from: number) => {
        for (let done = 0; done < count; done += 100) {
          const asks = Array.from({ length: Math.min(100, count - done) }, (_, i) =>
            ask(lock, { claim: `w${from + done + i}`, patienceMs }),
          )
          for (const taken of await at.store.take(asks, at.reign)) expect('busy' in taken).toBe(true)
        }
      }
      await line(10, 60_000, 0)
      await line(waiters - 10, 4000, 10)
      await expect(take(ask(lock, { claim: 'more', patienceMs: 1000 }))).rejects.toMatchObject({
        code: 'TOO_MANY_WAITERS',
        message: expect.stringContaining(String(waiters)),
      })
      await eventually(async () => busyOf(await take(ask(lock, { claim: 'more', patienceMs: 1000 }))), {
        what: 'room for another',
      })
    })

    it('refuses work of another reign than its own', async () => {
      const lock = someLock()
      const fence = fenceOf(await take(ask(lock, { claim: 'a' })))
      for (const number of [at.reign.number - 1, at.reign.number + 1]) {
        const other = reignOf(at.reign.store, number, false, at.reign.marker)
        const refused = { code: 'TERM_UNKNOWN', temporary: true }
        await expect(take(ask(lock, { claim: 'b' }), other)).rejects.toMatchObject(refused)
        await expect(take(ask(someLock(), { claim: 'b' }), other)).rejects.toMatchObject(refused)
        await expect(renew({ ...lock, fence }, 1000, other)).rejects.toMatchObject(refused)
        await expect(one(at.store.giveBack([{ ...lock, fence }], other))).rejects.toMatchObject(refused)
      }
      expect(await giveBack(lock, { fence })).toMatchObject({ released: true })
    })

    it('grants nothing in quarantine, and renews what is known', async () => {
      const [known, free] = [someLock(), someLock()]
      const fence = fenceOf(await take(ask(known, { claim: 'a' })))
      const quarantined = { ...at.reign, quarantined: true }
      const waits = ask(free, { claim: 'b', patienceMs: 60_000 })
      expect(busyOf(await take(waits, quarantined))).toMatchObject({ holder: undefined, leftMs: 0 })
      expect(await renew({ ...known, fence }, 1000, quarantined)).toBeDefined()
      expect(fenceOf(await take(ask(known, { claim: 'a' }), quarantined))).toBe(fence)
      // It has stood in line meanwhile.
      busyOf(await take(ask(free, { claim: 'c' })))
      fenceOf(await take(waits))
    })

    it('counts a lease of an older reign only if it was moved, with greater fences from then on', async () => {
      const [moved, left, waited] = [someLock(), someLock(), someLock()]
      const [a, b] = [fenceOf(await take(ask(moved))), fenceOf(await take(ask(left)))]
      fenceOf(await take(ask(waited)))
      busyOf(await take(ask(waited, { claim: 'old', patienceMs: 60_000 })))
      const older = at.reign.number
      await at.turn([movedLease({ ...moved, fence: a }, { leftMs: 20_000 })])
      expect(at.reign.number).toBe(older + 1)
      const busy = busyOf(await take(ask(moved, { claim: 'other' })))
      expect(busy.holder).toBe('Ann')
      expect(busy.leftMs).toBeGreaterThan(18_000)
      expect(await renew({ ...moved, fence: a }, undefined)).toMatchObject({
        ...{ claim: 'moved', holder: 'Ann', since: 1_770_000_000_000, ttlMs: 7000 },
      })
      expect(await renew({ ...left, fence: b }, undefined)).toBeUndefined()
      expect(await at.store.look(left, at.reign)).toBeUndefined()
      expect(fenceOf(await take(ask(left, { claim: 'other' })))).toBeGreaterThan(fenceFloor(older + 1))
      // Neither does a place in line.
      fenceOf(await take(ask(waited, { claim: 'new' })))
      expect(await giveBack(moved, { claim: 'moved' })).toMatchObject({ released: true })
      expect(fenceOf(await take(ask(moved, { claim: 'other' })))).toBeGreaterThan(a)
    })

    it('lists what is held, by name, and of that tenant alone', async () => {
      const [tenant, other] = [randomUUID(), randomUUID()]
      const names = ['flow:a', 'import:b:c', 'analysis:d', 'flow:', 'z', 'a b/ü', 'lock:{x}', '*', 'free']
      const fences = new Map<string, number>()
      for (const name of names) fences.set(name, fenceOf(await take(ask({ tenant, name }))))
      fenceOf(await take(ask({ tenant: other, name: 'z' })))
      busyOf(await take(ask({ tenant, name: 'z' }, { claim: 'w', patienceMs: 60_000 })))
      await giveBack({ tenant, name: 'free' }, { fence: fences.get('free') as number })
      const held = await at.store.list(tenant, 100, at.reign)
      expect(held.map(({ name, fence }) => [name, fence])).toEqual(
        names
          .filter((name) => name !== 'free')
          .sort()
          .map((name) => [name, fences.get(name)]),
      )
      expect(held.find(({ name }) => name === 'z')).toMatchObject({ holder: 'somebody', waiting: 1 })
      expect((await at.store.list(tenant, 3, at.reign)).map(({ name }) => name)).toEqual(
        held.slice(0, 3).map(({ name }) => name),
      )
      expect(await at.store.look({ tenant, name: 'flow:a' }, at.reign)).toMatchObject({
        fence: fences.get('flow:a'),
      })
      expect(await at.store.look({ tenant, name: 'free' }, at.reign)).toBeUndefined()
    })

    it('keeps locks apart whose names look alike', async () => {
      const locks = [
        ['a', 'b:c'],
        ['a:b', 'c'],
        ['a', 'flow:c'],
        ['a:flow', 'c'],
        ['flow', 'a:c'],
        ['a', 'b%3Ac'],
        ['a', 'B:C'],
        ['a', 'b:c '],
      ].map(([tenant = '', name = '']) => ({ tenant: `${tenant}-${randomUUID()}`.slice(0, 40), name }))
      const [one] = locks as [LockRef]
      locks.push(
        { ...one, name: `${one.name}:queue` },
        { ...one, name: 'queue:b:c' },
        { ...one, name: 'freed' },
      )
      for (const lock of locks) fenceOf(await take(ask(lock)))
      for (const lock of locks) busyOf(await take(ask(lock, { claim: 'other' })))
    })

    it('does what a list of claims would do, whatever is asked in whatever order', async () => {
      const claims = ['a', 'b', 'c', 'd']
      const claim = fc.constantFrom(...claims)
      const anyStep = fc.oneof(
        fc.record({ do: fc.constant('take' as const), claim, waits: fc.boolean() }),
        fc.record({ do: fc.constant('give back' as const), claim, byFence: fc.boolean() }),
        fc.record({ do: fc.constant('renew' as const), claim }),
      )
      await fc.assert(
        fc.asyncProperty(fc.array(anyStep, { maxLength: 25 }), async (steps) => {
          const lock = someLock()
          const fences = new Map<string, number>()
          let held: string | undefined
          let highest = 0
          let line: string[] = []
          for (const step of steps) {
            const fence = fences.get(step.claim) ?? 1
            if (step.do === 'take') {
              const taken = await take(ask(lock, { claim: step.claim, patienceMs: step.waits ? 60_000 : 0 }))
              const mine = held === step.claim
              if (mine || (held === undefined && (line.length === 0 || line[0] === step.claim))) {
                if (mine) expect(fenceOf(taken)).toBe(fence)
                else expect(fenceOf(taken)).toBeGreaterThan(highest)
                highest = fenceOf(taken)
                fences.set(step.claim, highest)
                held = step.claim
                line = line.filter((other) => other !== step.claim)
              } else {
                if (step.waits && !line.includes(step.claim)) line.push(step.claim)
                expect(busyOf(taken)).toMatchObject({
                  first: line[0] === step.claim,
                  holder: held && 'somebody',
                })
              }
            } else if (step.do === 'renew') {
              const renewed = await renew({ ...lock, fence }, undefined)
              expect(renewed !== undefined).toBe(held === step.claim && fences.get(held) === fence)
            } else {
              const mine = held === step.claim
              if (!step.byFence) line = line.filter((other) => other !== step.claim)
              if (mine) held = undefined
              expect(await giveBack(lock, step.byFence ? { fence } : { claim: step.claim })).toEqual({
                released: mine,
                next: held === undefined ? line[0] : undefined,
              })
            }
          }
        }),
        { numRuns: 40 },
      )
    })

    it('answers for each of many that are asked for together, in their order', async () => {
      const locks = Array.from({ length: 150 }, someLock)
      const taken = await at.store.take(
        locks.map((lock) => ask(lock, { claim: 'a' })),
        at.reign,
      )
      const fences = taken.map((answer) => ('fence' in answer ? answer.fence : 0))
      expect(fences.every((fence) => fence > fenceFloor(at.reign.number))).toBe(true)
      const again = await at.store.take(
        locks.map((lock, i) => ask(lock, { claim: i % 2 === 0 ? 'a' : 'b' })),
        at.reign,
      )
      expect(again.map((answer) => ('fence' in answer ? answer.fence : 'busy'))).toEqual(
        fences.map((fence, i) => (i % 2 === 0 ? fence : 'busy')),
      )
      const renewed = await at.store.renew(
        locks.map((lock, i) => ({
          ...lock,
          fence: (fences[i] as number) + (i % 3 === 0 ? 1 : 0),
          ttlMs: 9000,
        })),
        at.reign,
      )
      expect(renewed.map((facts) => facts !== undefined)).toEqual(fences.map((_, i) => i % 3 !== 0))
      const given = await at.store.giveBack(
        locks.map((lock, i) => ({ ...lock, fence: (fences[i] as number) + (i % 5 === 0 ? 1 : 0) })),
        at.reign,
      )
      expect(given.map((answer) => 'released' in answer && answer.released)).toEqual(
        fences.map((_, i) => i % 5 !== 0),
      )
      // One lock twice in one batch is granted once.
      const [free] = [someLock()]
      const twice = await at.store.take([ask(free, { claim: 'x' }), ask(free, { claim: 'y' })], at.reign)
      expect(twice.map((answer) => 'fence' in answer)).toEqual([true, false])
    })

    it('refuses a grant when the reign has no fence left', async () => {
      await at.spend()
      await expect(take(ask(someLock()))).rejects.toMatchObject({ code: 'FENCES_SPENT' })
    })
  })
}

const someLock = (): LockRef => ({ tenant: 'acme', name: `lock-${randomUUID()}` })

function ask(lock: LockRef, over: Partial<Ask> = {}): Ask {
  const { tenant, name } = lock
  return { tenant, name, claim: 'one', holder: 'somebody', ttlMs: 30_000, patienceMs: 0, ...over }
}

function movedLease(lease: LeaseRef, over: Partial<MovedLease>): MovedLease {
  return {
    ...lease,
    ...{ claim: 'moved', holder: 'Ann', since: 1_770_000_000_000, ttlMs: 7000, leftMs: 10_000 },
    ...over,
  }
}

function fenceOf(taken: Taken): number {
  if ('fence' in taken) return taken.fence
  throw new Error('the lock is busy', { cause: taken.busy })
}

function busyOf(taken: Taken): Busy {
  if ('busy' in taken) return taken.busy
  throw new Error(`the lock was granted under ${taken.fence}`)
}
