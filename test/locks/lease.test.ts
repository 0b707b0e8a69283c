import { afterEach, describe, expect, it } from 'vitest'
import { SpillwayError } from '../../src/errors.js'
import { Gathering, Lanes } from '../../src/locks/gathering.js'
import { Lease, type LeaseParts } from '../../src/locks/lease.js'
import { Leases, type LiveLease } from '../../src/locks/leases.js'
import { Line } from '../../src/locks/line.js'
import { LOCK_LIMITS, type LockStore, movedMs } from '../../src/locks/locks.js'
import { Locksmith } from '../../src/locks/locksmith.js'
import { FixedTerm } from '../../src/term/fixed.js'
import { REAL, type Surroundings } from '../../src/term/ports.js'
import { reignOf } from './stores.js'

/** A clock that is moved by hand; timers fire when it is, unless the process stands still. */
class Clock implements Surroundings {
  time = 1000
  #timers: { at: number; go: () => void }[] = []

  now = () => this.time
  random = () => 0.5

  after = (ms: number, go: () => void) => {
    const timer = { at: this.time + ms, go }
    this.#timers.push(timer)
    return () => {
      this.#timers = this.#timers.filter((other) => other !== timer)
    }
  }

  get armed(): number {
    return this.#timers.length
  }

  /** Lets time pass, each timer at its time, and what follows from it. */
  async pass(ms: number): Promise<void> {
    const end = this.time + ms
    for (;;) {
      const [next] = this.#timers.filter(({ at }) => at <= end).sort((x, y) => x.at - y.at)
      if (!next) break
      this.time = Math.max(this.time, next.at)
      this.#timers = this.#timers.filter((other) => other !== next)
      next.go()
      await settled()
    }
    this.time = end
    await settled()
  }
}

const settled = async () => {
  for (let i = 0; i < 10; i++) await Promise.resolve()
}

function liveLease(over: Partial<LiveLease> = {}): LiveLease {
  const facts = { claim: 'c', holder: 'h', since: 0, ttlMs: 3000 }
  return { tenant: 'acme', name: 'x', fence: 5, ...facts, deadline: 4000, ...over }
}

type Renewal = () => Promise<LiveLease | undefined>

function leaseOn(clock: Clock, keeps: boolean, renew: Renewal = async () => undefined) {
  const seen = { asked: [] as number[], left: 0, ended: [] as boolean[], givenBack: 0 }
  const parts: LeaseParts = {
    around: clock,
    renew: () => {
      seen.asked.push(clock.time)
      return renew()
    },
    giveBack: async () => {
      seen.givenBack += 1
      return true
    },
    left: () => {
      seen.left += 1
    },
    ended: (_, lost) => seen.ended.push(lost),
  }
  return { lease: new Lease(liveLease(), parts, keeps), seen }
}

describe('a lease', () => {
  it('ends at its deadline by its own clock, whether or not its signal could fire', async () => {
    const clock = new Clock()
    const { lease, seen } = leaseOn(clock, false)
    expect([lease.held, lease.leftMs, clock.armed]).toEqual([true, 3000, 0])
    const { signal } = lease
    await clock.pass(2999)
    expect([lease.held, signal.aborted]).toEqual([true, false])
    await clock.pass(1)
    expect([lease.held, signal.aborted, lease.leftMs]).toEqual([false, true, 0])
    expect(signal.reason).toMatchObject({ code: 'LOCK_LOST' })
    expect(seen.ended).toEqual([true])

    const stopped = new Clock()
    const still = leaseOn(stopped, true)
    const quiet = still.lease.signal
    // The process stood still: no timer has fired.
    stopped.time += 10_000
    expect([still.lease.held, quiet.aborted]).toEqual([false, false])
    expect(await still.lease.renew()).toBe(false)
    expect(quiet.aborted).toBe(true)
    expect(still.seen.asked).toEqual([])
    expect(leaseOn(clock, false).lease.signal.aborted).toBe(true)
  })

  it('renews itself at each third of its ttl', async () => {
    const clock = new Clock()
    const { lease, seen } = leaseOn(clock, true, async () => liveLease({ deadline: clock.time + 3000 }))
    await clock.pass(5500)
    expect(seen.asked).toEqual([2000, 3000, 4000, 5000, 6000])
    expect(lease.deadline).toBe(9000)
    await lease.release()
    await clock.pass(10_000)
    expect(seen.asked).toHaveLength(5)
    expect([seen.ended, seen.givenBack, clock.armed]).toEqual([[false], 1, 0])
    expect(await lease.release()).toBe(false)
  })

  it('tries again while the store is away, and ends in time when it does not come back', async () => {
    const clock = new Clock()
    const { lease, seen } = leaseOn(clock, true, async () => {
      throw new SpillwayError('STORE_UNAVAILABLE', 'away')
    })
    const { signal } = lease
    await clock.pass(2999)
    expect([lease.held, signal.aborted]).toEqual([true, false])
    expect(seen.asked.length).toBeGreaterThan(10)
    await clock.pass(1)
    expect([lease.held, signal.aborted]).toEqual([false, true])
    await clock.pass(10_000)
    expect(seen.asked.at(-1)).toBeLessThan(4000)
    expect(clock.armed).toBe(0)
  })

  it('ends in time while a renewal hangs, and an answer that comes later revives nothing', async () => {
    const clock = new Clock()
    let answer: (lease: LiveLease) => void = () => undefined
    const { lease, seen } = leaseOn(clock, true, () => new Promise((resolve) => (answer = resolve)))
    const { signal } = lease
    await clock.pass(3000)
    expect([signal.aborted, seen.asked]).toEqual([true, [2000]])
    answer(liveLease({ deadline: 5000 }))
    await settled()
    expect([lease.held, seen.left, seen.ended]).toEqual([false, 1, [true]])
  })

  it('ends at once when the store says that it is lost', async () => {
    const clock = new Clock()
    const { lease, seen } = leaseOn(clock, true)
    const { signal } = lease
    await clock.pass(1000)
    expect([lease.held, signal.aborted, seen.ended]).toEqual([false, true, [true]])
    expect(await lease.release()).toBe(false)
  })

  it('is given back later when it cannot be now', async () => {
    const clock = new Clock()
    let left = 0
    const away = new SpillwayError('STORE_UNAVAILABLE', 'away')
    const parts: LeaseParts = {
      around: clock,
      renew: async () => undefined,
      giveBack: () => Promise.reject(away),
      left: () => {
        left += 1
      },
      ended: () => undefined,
    }
    const lease = new Lease(liveLease(), parts, false)
    await expect(lease.release()).rejects.toBe(away)
    expect([lease.held, left]).toEqual([false, 1])
  })
})

describe('the leases of an instance', () => {
  it('go to another store with what is left of them, longer by the difference of clocks', () => {
    let now = 0
    const leases = new Leases(() => now)
    leases.note(liveLease({ name: 'a', deadline: 3000 }))
    leases.note(liveLease({ name: 'b', deadline: 500 }))
    leases.note(liveLease({ name: 'c', fence: 8, deadline: 2000 }))
    // An older one of the same lock, and a renewal whose answer came late.
    leases.note(liveLease({ name: 'c', fence: 7, deadline: 9000 }))
    leases.note(liveLease({ name: 'c', fence: 8, deadline: 1500 }))
    leases.drop({ tenant: 'acme', name: 'a' }, { fence: 4 })
    leases.drop({ tenant: 'acme', name: 'a' }, { claim: 'other' })
    now = 1000
    expect(leases.live().map(({ name, fence, leftMs }) => [name, fence, leftMs])).toEqual([
      ['a', 5, movedMs(2000)],
      ['c', 8, movedMs(1000)],
    ])
    leases.drop({ tenant: 'acme', name: 'a' }, { fence: 5 })
    leases.drop({ tenant: 'acme', name: 'c' }, { claim: 'c' })
    expect([leases.live(), leases.count]).toEqual([[], 0])
  })

  it('are bounded, of one tenant and in all; those that are over do not count', () => {
    let now = 0
    const leases = new Leases(() => now)
    const { leases: most } = LOCK_LIMITS
    const fill = (tenant: string, count: number) => {
      for (let i = 0; i < count; i++) {
        leases.makeRoom({ tenant, name: `${i}` })
        leases.note(liveLease({ tenant, name: `${i}`, deadline: 1000 }))
      }
    }
    fill('t0', most / 10)
    const refused = (bound: number) =>
      expect.objectContaining({ code: 'OVERLOADED', message: expect.stringContaining(String(bound)) })
    expect(() => leases.makeRoom({ tenant: 't0', name: 'more' })).toThrow(refused(most / 10))
    for (let t = 1; t < 10; t++) fill(`t${t}`, most / 10)
    expect(() => leases.makeRoom({ tenant: 'other', name: 'more' })).toThrow(refused(most))
    now = 1000
    fill('t0', 10)
    expect(leases.count).toBe(10)
  })
})

describe('the line of an instance', () => {
  it('is bounded, of one tenant and in all', () => {
    const line = new Line(REAL)
    const { waiting } = LOCK_LIMITS
    const join = (tenant: string, i: number) => line.join({ tenant, name: 'x' }, `${tenant}.${i}`)
    const waiters = Array.from({ length: waiting }, (_, i) => join(`t${i % 10}`, i))
    expect(() => join('other', 0)).toThrow(expect.objectContaining({ code: 'OVERLOADED' }))
    const [first] = waiters
    if (first) line.leave(first)
    expect(() => join('t1', -1)).toThrow(expect.objectContaining({ code: 'OVERLOADED' }))
    join('other', 1)
    expect(line.count).toBe(waiting)
  })

  it('wakes whom it is told to, also who was not listening just then', async () => {
    const line = new Line(REAL)
    const lock = { tenant: 't', name: 'x' }
    const [a, b] = [line.join(lock, 'a'), line.join(lock, 'b')]
    const woken: string[] = []
    const pause = (name: string, waiter: typeof a) => waiter.pause(60_000).then(() => woken.push(name))
    line.ring('b')
    line.ring('unknown')
    const pauses = [pause('a', a), pause('b', b)]
    await pauses[1]
    expect(woken).toEqual(['b'])
    line.ringFor({ tenant: 'other', name: 'x' })
    line.ringFor(lock)
    await pauses[0]
    expect([line.leave(a), line.leave(b), line.count]).toEqual([false, true, 0])
  })
})

describe('what goes out together', () => {
  const runs: number[][] = []
  afterEach(() => runs.splice(0))
  const turn = () => new Promise((resolve) => setImmediate(resolve))
  const lanes = (parallel: number, most: number) => new Lanes(() => ({ parallel, most }))

  it('is what was asked in one turn, or while others were under way, and no more than the bound', async () => {
    let go: () => void = () => undefined
    const gathering = new Gathering<number, number>(
      async (items) => {
        runs.push([...items])
        await new Promise<void>((resolve) => (go = resolve))
        return items.map((n) => n * 2)
      },
      lanes(1, 3),
    )
    const answers = Promise.all([1, 2, 3, 4].map((n) => gathering.ask(n)))
    await turn()
    const later = Promise.all([5, 6].map((n) => gathering.ask(n)))
    for (let done = 1; done <= 2; done++) {
      await turn()
      expect(runs).toHaveLength(done)
      go()
      await turn()
    }
    expect(await answers).toEqual([2, 4, 6, 8])
    expect(await later).toEqual([10, 12])
    expect(runs).toEqual([
      [1, 2, 3],
      [4, 5, 6],
    ])
  })

  it('is shared among the batches that may be under way, unless it is little', async () => {
    let answer = () => undefined as unknown
    const allUnderWay = new Promise((resolve) => {
      answer = () => resolve(undefined)
    })
    const gathering = new Gathering<number, number>(
      async (items) => {
        if (runs.push([...items]) === 4) answer()
        await allUnderWay
        return items
      },
      lanes(4, 100),
    )
    await Promise.all(Array.from({ length: 80 }, (_, n) => gathering.ask(n)))
    await Promise.all(Array.from({ length: 7 }, (_, n) => gathering.ask(n)))
    expect(runs.map(({ length }) => length)).toEqual([20, 20, 20, 20, 7])
  })

  it('shares its lanes with others: who found none free is next, whatever else is asked meanwhile', async () => {
    const shared = lanes(1, 2)
    const order: string[] = []
    const made = (name: string) =>
      new Gathering<number, number>(async (items) => {
        order.push(`${name}${items.join('')}`)
        await turn()
        return items
      }, shared)
    const [a, b] = [made('a'), made('b')]
    await Promise.all([...[1, 2, 3, 4, 5].map((n) => a.ask(n)), b.ask(6)])
    expect(order).toEqual(['a12', 'a34', 'b6', 'a5'])
    // A run that fails leaves its lane too.
    const broken = new Gathering<number, number>(() => Promise.reject(new Error('down')), shared)
    await expect(Promise.all([broken.ask(7), broken.ask(8), broken.ask(9)])).rejects.toThrow('down')
    expect(await a.ask(10)).toBe(10)
  })

  it('fails together, or each by itself', async () => {
    const own = new Error('mine')
    const run = async (items: readonly number[]) => {
      if (items.includes(0)) throw new Error('all')
      return items.map((n) => (n === 1 ? own : n))
    }
    const gathering = new Gathering<number, number>(run, lanes(2, 10))
    const statuses = async (items: number[]) => {
      const results = await Promise.allSettled(items.map((n) => gathering.ask(n)))
      return results.map((result) => (result.status === 'rejected' ? result.reason.message : result.value))
    }
    expect(await statuses([0, 2])).toEqual(['all', 'all'])
    expect(await statuses([1, 2])).toEqual(['mine', 2])
  })
})

it('renews leases while the store is busy with as many takes as it may be asked for at once', async () => {
  const never = () => new Promise<never>(() => undefined)
  const facts = { claim: 'c', holder: 'h', since: 1, ttlMs: 1000 }
  const renew: LockStore['renew'] = async (renewals) => renewals.map(() => facts)
  const smith = new Locksmith({
    term: new FixedTerm(reignOf('postgres', 1)),
    redis: undefined,
    postgres: { take: never, giveBack: never, look: never, list: never, raise: never, renew },
    now: () => performance.now(),
    onNext: () => undefined,
  })
  for (let i = 0; i < 1000; i++)
    void smith.take({ ...facts, tenant: 'acme', name: `lock-${i}`, patienceMs: 0 }).catch(() => undefined)
  expect(await smith.renew({ tenant: 'acme', name: 'mine', fence: 7 }, 1000)).toMatchObject({ fence: 7 })
})
