import { describe, expect, it } from 'vitest'
import { LimitCheck } from '../../src/limits/check.js'
import type { LimitSpec, Take, Told } from '../../src/limits/limits.js'
import { counterNow, entriesNow, leftOf, Memory } from '../../src/limits/memory.js'
import { reignOf } from '../term/reign.js'

const check = new LimitCheck('acme')
const REIGN = reignOf(1)
const told = (over: Partial<Told> = {}): Told => ({ room: true, a: 0, b: 0, age: 0, ...over })
const take = (id: string, ...specs: readonly LimitSpec[]): Take => {
  const limits = check.all(specs)
  return { id, limits, lease: limits.some(({ algorithm }) => algorithm === 'concurrency'), strict: false }
}
const jobs = (perMs: number, name = 'jobs'): LimitSpec => ({ name, max: 9, perMs, algorithm: 'concurrency' })

describe('what is remembered of limits', () => {
  const remembered = (spec: LimitSpec, said: Told, at = 0) => {
    const { limits } = take('x', spec)
    const [limit] = limits
    if (!limit) throw new Error('no limit')
    return { limit, told: said, reign: REIGN, at }
  }

  it('grows older by the slowest clock: a counter is younger than in the store, never older', () => {
    const fixed = remembered({ name: 'n', max: 9, perMs: 2000 }, told({ a: 4, age: 100 }), 50)
    expect(counterNow(fixed, 50)).toEqual({ a: 4, b: 0, age: 100 })
    // 1120 ms here are 1000 there, where clock rates differ most.
    expect(counterNow(fixed, 1170.5)).toEqual({ a: 4, b: 0, age: 1100 })
    expect(counterNow(fixed, 50 + 2127)).toMatchObject({ a: 4 })
    expect(counterNow(fixed, 50 + 2129)).toMatchObject({ a: 0, age: 0 })
  })

  it('has entries until the last of them must be over', () => {
    const log = remembered(
      { name: 'n', max: 9, perMs: 5000, algorithm: 'sliding-log' },
      told({ a: 3, b: 1000 }),
    )
    expect([entriesNow(log, 1119), entriesNow(log, 1121)]).toEqual([3, 0])
    const counter = remembered({ name: 'n', max: 9, perMs: 5000 }, told({ a: 3, b: 1000 }))
    expect(entriesNow(counter, 0)).toBe(0)
  })

  it('has a lease for as long as the longest of its limits keeps it', () => {
    const both = { take: take('x', jobs(5000, 'long'), jobs(1000, 'short')), at: 10 }
    expect([leftOf(both, 10), leftOf(both, 1130), leftOf(both, 5611)]).toEqual([5000, 4000, 0])
    const none = { take: take('x', { name: 'n', max: 9, perMs: 5000 }), at: 10 }
    expect(leftOf(none, 10)).toBe(0)
  })

  it('holds leases that were granted, until they are released', () => {
    const memory = new Memory()
    const learn = (id: string, allowed: boolean) =>
      memory.learn(take(id, jobs(5000)), [told({ a: 1, b: 5000 })], REIGN, allowed)
    learn('granted', true)
    learn('denied', false)
    learn('given back', true)
    memory.released('given back')
    expect([...memory.leases()].map((held) => held.take.id)).toEqual(['granted'])
  })

  it('holds a lease that was renewed for the longer time, and as the youngest', () => {
    const memory = new Memory()
    for (const id of ['renewed', 'other']) memory.hold(take(id, jobs(5000)))
    memory.hold(take('renewed', jobs(9000)))
    memory.hold(take('renewed', jobs(10)))
    const held = [...memory.leases()]
    expect(held.map((one) => one.take.id)).toEqual(['other', 'renewed'])
    expect(held.map((one) => leftOf(one, one.at))).toEqual([5000, 9000])
  })

  it('lets leases that are over go first where there is no room, and then the oldest', () => {
    const memory = new Memory()
    const learn = (id: string, perMs: number) =>
      memory.learn(take(id, jobs(perMs)), [told({ a: 1, b: perMs })], REIGN, true)
    const ids = () => [...memory.leases()].map((held) => held.take.id)
    learn('oldest', 600_000)
    learn('brief', 1)
    for (let i = 2; i < 50_000; i++) learn(`l${i}`, 600_000)
    expect(ids().slice(0, 2)).toEqual(['oldest', 'brief'])
    learn('next', 600_000)
    expect(ids()).toHaveLength(50_000)
    expect(ids().slice(0, 2)).toEqual(['oldest', 'l2'])
    learn('last', 600_000)
    expect(ids()).toHaveLength(50_000)
    expect([ids()[0], ids().at(-1)]).toEqual(['l2', 'last'])
  })
})
