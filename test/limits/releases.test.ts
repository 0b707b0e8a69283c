import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'
import type { Lease } from '../../src/limits/limits.js'
import { Releases } from '../../src/limits/releases.js'

const lease = (id: string): Lease => ({ id, tenant: 'acme', names: ['jobs'] })

describe('leases that are ended', () => {
  /** What the store was asked, in order. */
  let asked: string[][]
  let away: boolean
  let there: number
  let releases: Releases
  beforeEach(() => {
    vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout', 'performance'] })
    ;[asked, away, there] = [[], false, 1]
    releases = new Releases(async (leases) => {
      asked.push(leases.map(({ id }) => id))
      if (away) throw new Error('away')
      return there
    })
  })
  afterEach(() => {
    releases.close()
    vi.useRealTimers()
  })
  const pass = (ms: number) => vi.advanceTimersByTimeAsync(ms)

  it('are asked of the store once, which says whether they were there', async () => {
    expect(await releases.end(lease('a'), 60_000)).toBe(true)
    there = 0
    expect(await releases.end(lease('b'), 60_000)).toBe(false)
    await pass(10_000)
    expect(asked).toEqual([['a'], ['b']])
  })

  it('are tried again until a store has taken them, all together', async () => {
    away = true
    expect(await releases.end(lease('a'), 60_000)).toBe(false)
    expect(await releases.end(lease('b'), 60_000)).toBe(false)
    await pass(1100)
    expect(asked.slice(2)).toEqual([
      ['a', 'b'],
      ['a', 'b'],
      ['a', 'b'],
    ])
    away = false
    await pass(10_000)
    expect(asked.slice(5)).toEqual([['a', 'b']])
  })

  it('are tried no longer than they may still be held', async () => {
    away = true
    await releases.end(lease('short'), 700)
    await releases.end(lease('long'), 60_000)
    await pass(10_000)
    expect(asked.filter((ids) => ids.includes('short'))).toHaveLength(3)
    expect(asked.at(-1)).toEqual(['long'])
    await pass(60_000)
    const before = asked.length
    await pass(60_000)
    expect(asked).toHaveLength(before)
  })

  it('are no more than a store takes at once, nor than can be remembered', async () => {
    away = true
    for (let i = 0; i < 10_100; i++) releases.owe(lease(`l${i}`), 60_000)
    away = false
    await pass(1000)
    expect(Math.max(...asked.map((ids) => ids.length))).toBe(200)
    expect(asked.flat()).toHaveLength(10_000)
  })

  it('are let go when this process ends', async () => {
    away = true
    await releases.end(lease('a'), 60_000)
    releases.close()
    releases.owe(lease('b'), 60_000)
    await pass(10_000)
    expect(asked).toEqual([['a']])
  })
})
