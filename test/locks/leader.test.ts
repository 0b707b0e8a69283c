import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest'
import { type Leader, type Leading, Spillway } from '../../src/index.js'
import { freshDatabase } from '../support/database.js'
import { eventually } from '../support/eventually.js'

describe('a leader', () => {
  let fresh: Awaited<ReturnType<typeof freshDatabase>>
  let a: Spillway
  let b: Spillway
  const standing: Leader[] = []
  beforeAll(async () => {
    fresh = await freshDatabase()
    const open = (instanceId: string) =>
      Spillway.open({ postgres: fresh.url, config: { poolSize: 4, instanceId } })
    a = await open('a')
    b = await open('b')
  })
  afterEach(async () => {
    await Promise.all(standing.splice(0).map((leader) => leader.close()))
  })
  afterAll(async () => {
    await Promise.all([a.close(), b.close()])
    await fresh.drop()
  })

  const stand = (spillway: Spillway, name: string, over: Parameters<Spillway['leader']>[1] = {}) => {
    const leader = spillway.leader(name, { ttlMs: 1000, ...over })
    standing.push(leader)
    return leader
  }

  it('is one of all that stand, until it resigns', async () => {
    const log: string[] = []
    const told = (who: string) => ({
      onGain: () => log.push(`${who} leads`),
      onLoss: () => log.push(`${who} leads no more`),
    })
    const first = stand(a, 'one', told('a'))
    await eventually(() => first.leads, { what: 'the first leads' })
    const second = stand(b, 'one', told('b'))
    await eventually(async () => (await waiting('one')) === 1, { what: 'the second waits' })
    expect([first.leads, second.leads]).toEqual([true, false])
    await first.close()
    expect(first.leads).toBe(false)
    await eventually(() => second.leads, { what: 'the second leads' })
    expect(log).toEqual(['a leads', 'a leads no more', 'b leads'])
  })

  it('leads under a greater fence each time, and hears that it leads no more', async () => {
    const leader = stand(a, 'two')
    const seen: Leading[] = []
    const watching = (async () => {
      for await (const leading of leader) seen.push(leading)
    })()
    await eventually(() => seen.length === 1, { what: 'it leads' })
    expect(seen[0]).toMatchObject({ leads: true, signal: { aborted: false } })
    await b.tenant('spillway').locks.break('two')
    await eventually(() => seen.length === 2, { what: 'it leads again' })
    const [one, two] = seen as [Leading, Leading]
    expect(one.leads).toBe(false)
    expect(one.signal.reason).toMatchObject({ code: 'LOCK_LOST' })
    expect(two.leads).toBe(true)
    expect(two.fence).toBeGreaterThan(one.fence)
    await leader.close()
    await watching
    expect([two.leads, two.signal.aborted]).toEqual([false, true])
    expect(await a.tenant('spillway').locks.list()).toEqual([])
  })

  it('goes on standing when what it tells fails, and says so', async () => {
    const errors: unknown[] = []
    let times = 0
    const leader = stand(a, 'three', {
      onGain: () => {
        times += 1
        if (times === 1) throw new Error('oops')
      },
      onError: (error) => errors.push(error),
    })
    await eventually(() => leader.leads && times === 2, { what: 'it leads in the end' })
    expect(errors).toEqual([new Error('oops')])
  })

  it('resigns with its instance', async () => {
    const c = await Spillway.open({ postgres: fresh.url, config: { poolSize: 2 } })
    const first = c.leader('four', { ttlMs: 60_000 })
    await eventually(() => first.leads, { what: 'the first leads' })
    const second = stand(b, 'four')
    await c.close()
    await first.ended
    const began = performance.now()
    await eventually(() => second.leads, { what: 'the second leads' })
    expect(performance.now() - began).toBeLessThan(10_000)
  })

  it('refuses a name or a ttl beyond its bounds', () => {
    expect(() => a.leader('')).toThrow(expect.objectContaining({ code: 'INVALID_NAME' }))
    expect(() => a.leader('x', { ttlMs: 60_001 })).toThrow(
      expect.objectContaining({ code: 'INVALID_ARGUMENT' }),
    )
  })

  const waiting = async (name: string) => {
    const held = await b.tenant('spillway').locks.list()
    return held.find((one) => one.name === name)?.waiting
  }
})
