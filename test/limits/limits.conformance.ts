import fc from 'fast-check'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { LimitCheck } from '../../src/limits/check.js'
import { hasEntries } from '../../src/limits/counters.js'
import {
  ALGORITHMS,
  type Limit,
  type LimitSpec,
  type LimitStore,
  type Take,
} from '../../src/limits/limits.js'
import { limitVerdictOf } from '../../src/limits/verdict.js'
import type { Reign } from '../../src/term/term.js'
import { type LimitModel, left, modelOf, untilPass, untilWhole, wouldPass } from './model.js'

/** A store of limits whose clock the test sets. */
export interface ClockedStore {
  readonly store: LimitStore
  readonly reign: Reign
  setClock(ms: number): Promise<void>
  close(): Promise<void>
}

/** What stores do not look at. */
const PLAIN = { lease: false, strict: false }

/** Beyond any of the seeds: whatever a run leaves behind is none of the next one's. */
let clock = 1_700_000_000_000
let run = 0

const limitOf = fc
  .record({
    algorithm: fc.constantFrom(...ALGORITHMS),
    max: fc.integer({ min: 1, max: 8 }),
    perMs: fc.integer({ min: 1, max: 40 }),
  })
  .map((numbers) => numbers satisfies Omit<LimitSpec, 'name'>)

/** Which limits of the run a request takes from, and how heavily; costs are cut to what is allowed. */
const request = fc.array(fc.record({ limit: fc.nat(4), cost: fc.integer({ min: -2, max: 8 }) }), {
  minLength: 1,
  maxLength: 4,
})

const step = fc.oneof(
  { weight: 3, arbitrary: fc.record({ wait: fc.nat(45) }) },
  { weight: 6, arbitrary: fc.record({ requests: fc.array(request, { minLength: 1, maxLength: 4 }) }) },
  { weight: 1, arbitrary: fc.record({ release: fc.nat(20) }) },
  { weight: 2, arbitrary: fc.record({ renew: fc.nat(20) }) },
  { weight: 1, arbitrary: fc.record({ reset: fc.nat(4) }) },
)

/** What every store of limits must do, beside an exact model of each algorithm, over one clock. */
export function limitConformance(name: string, open: () => Promise<ClockedStore>): void {
  describe(`limits on ${name}`, () => {
    let clocked: ClockedStore
    beforeAll(async () => {
      clocked = await open()
    })
    afterAll(() => clocked.close())

    it('decides as the models do, whatever comes in whatever order', async () => {
      await fc.assert(
        fc.asyncProperty(
          fc.array(limitOf, { minLength: 5, maxLength: 5 }),
          fc.array(step, { minLength: 5, maxLength: 30 }),
          async (numbers, steps) => {
            const history = new History(clocked, numbers)
            for (const one of steps) {
              if ('wait' in one) await history.wait(one.wait)
              else if ('requests' in one) await history.take(one.requests)
              else if ('release' in one) await history.release(one.release)
              else if ('renew' in one) await history.renew(one.renew)
              else await history.reset(one.reset)
            }
          },
        ),
        { numRuns: 60 },
      )
    })

    it('keeps tenants and names apart, whatever they are made of', async () => {
      const odd = [
        'a',
        'a:b',
        'b',
        ':',
        '*',
        '{a}',
        '}{',
        'user:',
        'user:u1',
        'global:x',
        'tenant',
        '%61',
        '__proto__',
        '\\',
        '"',
        `'; DROP TABLE spillway.limits; --`,
        'é',
        'e\u0301',
        '\u{10ffff}',
        '\uffff',
        ' ',
        'NULL',
      ]
      run += 1
      const takes = odd.flatMap((tenant) => {
        const check = new LimitCheck(`${tenant}${run}`)
        return odd.flatMap((name) =>
          ALGORITHMS.map((algorithm, i) => ({
            id: `odd-${i}`,
            ...PLAIN,
            limits: check.all([{ name, max: 1, perMs: 60_000, algorithm }]),
          })),
        )
      })
      const first = await clocked.store.take(takes, clocked.reign)
      expect(first.every(({ allowed }) => allowed)).toBe(true)
      const second = await clocked.store.take([...takes].reverse(), clocked.reign)
      expect(second.some(({ allowed }) => allowed)).toBe(false)
      // Forgetting one leaves all others as they are.
      expect(await clocked.store.reset(`a${run}`, 'a:b', clocked.reign)).toBe(true)
      expect(await clocked.store.reset(`a${run}`, 'a:b', clocked.reign)).toBe(false)
      const third = await clocked.store.take(takes, clocked.reign)
      const free = takes.filter((_, i) => third[i]?.allowed).map(({ limits }) => limits[0])
      expect(free.map((limit) => [limit?.tenant, limit?.name])).toEqual(
        ALGORITHMS.map(() => [`a${run}`, 'a:b']),
      )
    })

    it('goes on counting where the numbers of a limit change, also from one take of a call to the next', async () => {
      run += 1
      const check = new LimitCheck(`changed${run}`)
      for (const algorithm of ALGORITHMS) {
        const take = (id: string, max: number, cost: number) => ({
          id,
          ...PLAIN,
          limits: check.all([{ name: 'n', max, perMs: 60_000, algorithm, cost }]),
        })
        const takes = [take('a', 5, 3), take('b', 4, 1), take('c', 3, 1), take('d', 6, 2), take('e', 7, 2)]
        const outcomes = await clocked.store.take(takes, clocked.reign)
        const allowed = outcomes.map((outcome) => outcome.allowed)
        expect([algorithm, allowed]).toEqual([algorithm, [true, true, false, true, false]])
      }
    })

    it('keeps a lease for longer by all of its limits or by none, never shorter, and not once it is over', async () => {
      run += 1
      const tenant = `renewed${run}`
      const check = new LimitCheck(tenant)
      const jobs = (name: string, perMs: number) => ({
        name,
        max: 3,
        perMs,
        algorithm: 'concurrency' as const,
      })
      const limits = check.all([jobs('long', 100_000), { ...jobs('short', 10_000), cost: 2 }])
      const { store, reign } = clocked
      const at = async (ms: number) => {
        clock += ms
        await clocked.setClock(clock)
      }
      const renew = (id: string, some: readonly Pick<Limit, 'name' | 'perMs'>[] = limits, of = tenant) =>
        store.renew({ id, tenant: of, limits: some }, reign)
      const left = async (name: string) => (await store.list(tenant, { name, limit: 10 })).limits[0]?.resetMs
      await at(0)
      await store.take([{ id: 'x', ...PLAIN, limits }], reign)
      await at(9000)
      expect(await renew('x')).toEqual([1, 2])
      expect([await left('long'), await left('short')]).toEqual([100_000, 10_000])
      // Beyond its first end.
      await at(3000)
      expect(await renew('x', [{ name: 'long', perMs: 1 }])).toEqual([1])
      expect([await left('long'), await left('short')]).toEqual([97_000, 7000])
      expect([await renew('y'), await renew('x', limits, 'another')]).toEqual([undefined, undefined])
      expect(await renew('x', [{ name: 'long', perMs: 200_000 }, jobs('unheard-of', 1)])).toBeUndefined()
      await at(9000)
      // One of them is over: the other one is not touched.
      expect(await renew('x')).toBeUndefined()
      expect([await left('long'), await left('short')]).toEqual([88_000, undefined])
      await store.release([{ id: 'x', tenant, names: ['long'] }], reign)
      expect(await renew('x', [{ name: 'long', perMs: 1000 }])).toBeUndefined()
    })

    it('ends leases, and nothing else that has their id', async () => {
      run += 1
      const tenant = `ended${run}`
      const check = new LimitCheck(tenant)
      const both = (['sliding-log', 'concurrency'] as const).map((algorithm) => ({
        id: 'x',
        ...PLAIN,
        limits: check.all([{ name: 'n', max: 5, perMs: 60_000, algorithm, cost: 2 }]),
      }))
      const { store, reign } = clocked
      await store.take(both, reign)
      const lease = { id: 'x', tenant, names: ['n'] }
      expect([await store.release([lease], reign), await store.release([lease], reign)]).toEqual([1, 0])
      const { limits } = await store.list(tenant, { limit: 10 })
      expect(limits.map(({ algorithm, used }) => [algorithm, used])).toEqual([['sliding-log', 2]])
    })

    it('lists what was counted of one tenant, a page after the other', async () => {
      run += 1
      const [own, other] = [new LimitCheck(`list${run}`), new LimitCheck(`list${run}0`)]
      const takes = Array.from({ length: 25 }, (_, i) => ({
        id: `l${i}`,
        ...PLAIN,
        limits: own.all([
          {
            name: `n${i}`,
            max: 10,
            perMs: 60_000,
            algorithm: ALGORITHMS[i % 5] as (typeof ALGORITHMS)[number],
            cost: 3,
          },
        ]),
      }))
      const foreign = { id: 'f', ...PLAIN, limits: other.all([{ name: 'foreign', max: 1, perMs: 60_000 }]) }
      await clocked.store.take([...takes, foreign], clocked.reign)
      const found = new Map<string, number>()
      let after: string | undefined
      do {
        const page = await clocked.store.list(`list${run}`, { limit: 10, after })
        for (const { name, used, resetMs, algorithm } of page.limits) {
          found.set(name, used)
          expect(resetMs).toBe(
            algorithm === 'sliding' ? 120_000 : algorithm === 'token-bucket' ? 18_000 : 60_000,
          )
        }
        after = page.next ?? undefined
      } while (after !== undefined)
      expect(found).toEqual(new Map(takes.map((_, i) => [`n${i}`, 3])))
      const one = await clocked.store.list(`list${run}`, { limit: 10, name: 'n7' })
      expect(one.limits.map(({ name, used }) => [name, used])).toEqual([['n7', 3]])
      await clocked.store.reset(`list${run}`, 'n7', clocked.reign)
      expect((await clocked.store.list(`list${run}`, { limit: 10, name: 'n7' })).limits).toEqual([])
    })

    it('refuses everything under a term that it does not have, and touches nothing', async () => {
      run += 1
      const jobs = { name: 'jobs', max: 2, perMs: 60_000, algorithm: 'concurrency' } as const
      const held = new LimitCheck(`t${run}`).all([jobs])
      await clocked.store.take([{ id: 'x', ...PLAIN, limits: held }], clocked.reign)
      const limits = new LimitCheck(`t${run}`).all([{ name: 'n', max: 1, perMs: 60_000 }])
      const wrong = { ...clocked.reign, number: clocked.reign.number + 1, sign: '99:open:x' }
      const refused = { code: 'TERM_UNKNOWN', temporary: true }
      await expect(clocked.store.take([{ id: '', ...PLAIN, limits }], wrong)).rejects.toMatchObject(refused)
      await expect(clocked.store.take([], wrong)).rejects.toMatchObject(refused)
      await expect(clocked.store.reset(`t${run}`, 'jobs', wrong)).rejects.toMatchObject(refused)
      const lease = { id: 'x', tenant: `t${run}`, names: ['jobs'] }
      await expect(clocked.store.release([lease], wrong)).rejects.toMatchObject(refused)
      const renewal = { id: 'x', tenant: `t${run}`, limits: [{ name: 'jobs', perMs: 600_000 }] }
      await expect(clocked.store.renew(renewal, wrong)).rejects.toMatchObject(refused)
      const { limits: found } = await clocked.store.list(`t${run}`, { limit: 10 })
      expect(found).toMatchObject([{ name: 'jobs', used: 1, resetMs: 60_000 }])
      const [outcome] = await clocked.store.take([{ id: '', ...PLAIN, limits }], clocked.reign)
      expect(outcome?.allowed).toBe(true)
      expect(await clocked.store.take([], clocked.reign)).toEqual([])
    })
  })
}

/** One run: the limits of a tenant of its own, their models beside them. */
class History {
  readonly #clocked: ClockedStore
  readonly #limits: readonly Limit[]
  readonly #models: LimitModel[]
  readonly #leases: Take[] = []
  #takes = 0

  constructor(clocked: ClockedStore, numbers: readonly Omit<LimitSpec, 'name'>[]) {
    run += 1
    clock += 1000
    this.#clocked = clocked
    const check = new LimitCheck(`run${run}`)
    this.#limits = numbers.map((spec, i) => check.one({ name: `user:${i}`, ...spec }))
    // One name, two algorithms: two limits all the same.
    this.#models = this.#limits.map((limit) => modelOf(limit))
  }

  async wait(ms: number): Promise<void> {
    clock += ms
    await this.#clocked.setClock(clock)
  }

  async take(requests: readonly (readonly { limit: number; cost: number }[])[]): Promise<void> {
    await this.#clocked.setClock(clock)
    const places = requests.map((one) => [...new Map(one.map((part) => [part.limit, part.cost]))])
    const takes = places.map((parts): Take => {
      this.#takes += 1
      return {
        id: `t${this.#takes}`,
        ...PLAIN,
        limits: parts.map(([place, cost]) => {
          const limit = this.#limits[place] as Limit
          const least = hasEntries(limit.algorithm) ? 0 : -2
          return { ...limit, cost: Math.max(least, Math.min(cost, limit.max)) }
        }),
      }
    })
    const outcomes = await this.#clocked.store.take(takes, this.#clocked.reign)
    takes.forEach((take, i) => {
      const models = (places[i] ?? []).map(([place]) => this.#models[place] as LimitModel)
      const before = models.map((model) => model.copy())
      const rooms = take.limits.map((limit, n) =>
        wouldPass(models[n] as LimitModel, limit, clock, limit.cost),
      )
      const allowed = rooms.every((room) => room)
      expect(outcomes[i]?.allowed).toBe(allowed)
      take.limits.forEach((limit, n) => {
        const model = models[n] as LimitModel
        if (allowed && limit.cost !== 0) model.count(clock, limit.cost, take.id)
        const told = outcomes[i]?.told[n]
        if (!told) throw new Error('nothing was told')
        expect(limitVerdictOf(limit, told)).toEqual({
          name: limit.name,
          algorithm: limit.algorithm,
          max: limit.max,
          perMs: limit.perMs,
          allowed: rooms[n],
          remaining: left(model, limit, clock),
          retryAfterMs: rooms[n] ? 0 : untilPass(before[n] as LimitModel, limit, clock, limit.cost),
          resetMs: untilWhole(model, clock),
        })
      })
      if (allowed && take.limits.some(({ algorithm, cost }) => algorithm === 'concurrency' && cost > 0))
        this.#leases.push(take)
    })
  }

  async release(place: number): Promise<void> {
    const take = this.#leases[place % Math.max(1, this.#leases.length)]
    if (!take) return
    const names = take.limits.flatMap(({ algorithm, name }) => (algorithm === 'concurrency' ? [name] : []))
    const tenant = take.limits[0]?.tenant ?? ''
    await this.#clocked.store.release([{ id: take.id, tenant, names }], this.#clocked.reign)
    for (const limit of take.limits) {
      if (limit.algorithm === 'concurrency') this.#models[this.#placeOf(limit)]?.release(take.id)
    }
  }

  async renew(place: number): Promise<void> {
    const take = this.#leases[place % Math.max(1, this.#leases.length)]
    if (!take) return
    await this.#clocked.setClock(clock)
    const leased = take.limits.filter(({ algorithm, cost }) => algorithm === 'concurrency' && cost > 0)
    const renewal = { id: take.id, tenant: leased[0]?.tenant ?? '', limits: leased }
    const models = leased.map((limit) => this.#models[this.#placeOf(limit)] as LimitModel)
    const held = models.every((model) => model.holds(clock, take.id))
    const costs = held ? leased.map(({ cost }) => cost) : undefined
    expect(await this.#clocked.store.renew(renewal, this.#clocked.reign)).toEqual(costs)
    if (held) for (const model of models) model.renew(clock, take.id)
  }

  async reset(place: number): Promise<void> {
    const limit = this.#limits[place] as Limit
    await this.#clocked.setClock(clock)
    await this.#clocked.store.reset(limit.tenant, limit.name, this.#clocked.reign)
    this.#models[place] = modelOf(limit)
  }

  #placeOf({ name }: Limit): number {
    return this.#limits.findIndex((limit) => limit.name === name)
  }
}
