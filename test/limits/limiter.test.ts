import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import type { LimitSpec } from '../../src/limits/limits.js'
import { Spillway } from '../../src/spillway.js'
import { type Outside, openOutside, somebodyWaits } from '../postgres/outside.js'
import { freshDatabase } from '../support/database.js'
import { eventually } from '../support/eventually.js'
import type { FreshDatabase } from '../support/postgres.js'

const spec = (name: string, over: Partial<LimitSpec> = {}): LimitSpec => ({
  name,
  max: 10,
  perMs: 600_000,
  ...over,
})

describe('limits in the hand', () => {
  let database: FreshDatabase
  let spillway: Spillway
  let outside: Outside
  let watcher: Outside
  beforeAll(async () => {
    database = await freshDatabase()
    spillway = await Spillway.open({ postgres: database.url })
    outside = await openOutside(database.adminUrl)
    watcher = await openOutside(database.adminUrl)
  })
  afterAll(async () => {
    await outside.close()
    await watcher.close()
    await spillway.close()
    await database.drop()
  })

  const hold = (name: string) =>
    outside.hold('SELECT FROM spillway.limits WHERE name = $1 FOR UPDATE', [name])

  it('ends with its signal, before and while it waits', async () => {
    const { limits } = spillway.tenant('acme')
    await limits.take([spec('held')])
    await expect(limits.take([spec('held')], { signal: AbortSignal.abort('no') })).rejects.toMatchObject({
      code: 'ABORTED',
      cause: 'no',
    })
    const release = await hold('held')
    const controller = new AbortController()
    const waiting = limits.take([spec('held')], { signal: controller.signal })
    await eventually(() => somebodyWaits(watcher), { what: 'the take waits' })
    controller.abort('enough')
    await expect(waiting).rejects.toMatchObject({ code: 'ABORTED', cause: 'enough' })
    await release()
  })

  it('is decided by policy while somebody holds the row, and by the store afterwards', async () => {
    const { limits } = spillway.tenant('acme')
    await limits.take([spec('row')])
    const release = await hold('row')
    const asked = performance.now()
    const [open, closed] = await Promise.all([
      limits.take([spec('row', { whenAway: 'open' })]),
      limits.take([spec('row', { whenAway: 'closed' })]),
    ])
    expect([open.decidedBy, open.allowed, closed.decidedBy, closed.allowed]).toEqual([
      'policy',
      true,
      'policy',
      false,
    ])
    expect(performance.now() - asked).toBeLessThan(500)
    await release()
    await eventually(async () => (await limits.take([spec('row')])).decidedBy === 'postgres', {
      what: 'the store',
    })
  })

  it('waits for a row without holding those that come behind it, or two would wait for each other', async () => {
    const { limits } = spillway.tenant('acme')
    await limits.take([spec('order-b'), spec('order-a')])
    const release = await hold('order-a')
    const waiting = limits.take([spec('order-b'), spec('order-a')])
    await eventually(() => somebodyWaits(watcher), { what: 'the take waits', everyMs: 5 })
    const { rows } = await watcher.client.query(
      `SELECT name FROM spillway.limits WHERE name = 'order-b' FOR UPDATE SKIP LOCKED`,
    )
    expect(rows).toEqual([{ name: 'order-b' }])
    await release()
    await waiting
  })

  it('remembers a denial: for what weighs as much or more, not for less, and not for long', async () => {
    const { limits } = spillway.tenant('acme')
    await limits.take([spec('memory', { cost: 8 })])
    const by = async (cost: number, max = 10) => {
      const { allowed, decidedBy } = await limits.take([spec('memory', { cost, max })])
      return [allowed, decidedBy]
    }
    expect(await by(5)).toEqual([false, 'postgres'])
    expect(await by(5)).toEqual([false, 'memory'])
    expect(await by(7)).toEqual([false, 'memory'])
    // A smaller one may pass, and a greater limit is another question.
    expect(await by(1)).toEqual([true, 'postgres'])
    expect(await by(5, 20)).toEqual([true, 'postgres'])
    // Together with others, too; they are told as they were last heard of.
    await limits.take([spec('beside', { cost: 3 })])
    await limits.take([spec('memory', { cost: 9 })])
    const both = await limits.take([spec('memory', { cost: 9 }), spec('beside')])
    expect([both.decidedBy, both.limits.map(({ remaining }) => remaining)]).toEqual(['memory', [0, 7]])
    // A window that ends soon is not denied beyond its end.
    await limits.take([spec('soon', { max: 1, perMs: 200 })])
    const denied = await limits.take([spec('soon', { max: 1, perMs: 200 })])
    expect(denied.retryAfterMs).toBeLessThanOrEqual(200)
    await eventually(async () => (await limits.take([spec('soon', { max: 1, perMs: 200 })])).allowed, {
      withinMs: 1000,
      what: 'the next window',
    })
    // A reset elsewhere is noticed within a second or so.
    await outside.client.query(`UPDATE spillway.limits SET a = 0 WHERE name = 'memory'`)
    await eventually(async () => (await limits.take([spec('memory', { cost: 9 })])).allowed, {
      withinMs: 3000,
      what: 'the reset is noticed',
    })
  })

  it('gives back what was not used, of counters only', async () => {
    const { limits } = spillway.tenant('acme')
    await limits.take([spec('back', { cost: 6 })])
    expect((await limits.giveBack([spec('back', { cost: 4 })])).remaining).toBe(8)
    expect((await limits.giveBack([spec('back', { cost: 10 })])).remaining).toBe(10)
    const log = spec('log', { algorithm: 'sliding-log' })
    await expect(limits.giveBack([log])).rejects.toMatchObject({ code: 'INVALID_ARGUMENT' })
  })

  it('keeps a lease for longer, by its verdict or its id, and says when there is none', async () => {
    const { limits } = spillway.tenant('acme')
    const jobs = spec('jobs', { algorithm: 'concurrency', max: 1, perMs: 60_000 })
    const held = await limits.take([jobs, spec('beside')])
    const { lease } = held
    if (lease === null) throw new Error('no lease')
    expect([await held.renew(), await limits.renew(lease, [jobs, spec('beside')])]).toEqual([true, true])
    expect(await spillway.tenant('other').limits.renew(lease, [jobs])).toBe(false)
    expect((await limits.list({ name: 'jobs' })).limits[0]?.used).toBe(1)
    await held.release()
    expect([await held.renew(), await limits.renew(lease, [jobs])]).toEqual([false, false])
    expect(await (await limits.take([spec('beside')])).renew()).toBe(false)
    const invalid = { code: 'INVALID_ARGUMENT' }
    await expect(limits.renew('not an id', [jobs])).rejects.toMatchObject(invalid)
    await expect(limits.renew(lease, [spec('beside')])).rejects.toMatchObject(invalid)
    await expect(limits.renew(lease, [{ ...jobs, cost: 0 }])).rejects.toMatchObject(invalid)
  })

  it('keeps no lease whose place somebody takes at the same time because it is over', async () => {
    const { limits } = spillway.tenant('acme')
    const jobs = spec('places', { algorithm: 'concurrency', max: 1 })
    const { lease } = await limits.take([jobs])
    const renew = () => limits.renew(lease ?? '', [jobs])
    const commit = await hold('places')
    await outside.client.query(`UPDATE spillway.limit_entries SET ends_ms = 0 WHERE name = 'places'`)
    const renewing = renew()
    await eventually(() => somebodyWaits(watcher), { what: 'the renewal waits', everyMs: 5 })
    await commit('COMMIT')
    // It may have waited for too long; then it is asked again.
    expect(await renewing.catch(renew)).toBe(false)
  })

  it('has a scope of the platform, which no tenant shares', async () => {
    const global = spec('global:publish', { max: 1 })
    expect((await spillway.limits.take([global])).allowed).toBe(true)
    expect((await spillway.limits.take([global])).allowed).toBe(false)
    expect((await spillway.tenant('acme').limits.take([global])).allowed).toBe(true)
  })

  it('decides hundreds at once, each as if it were alone', async () => {
    const { limits } = spillway.tenant('acme')
    const all = await Promise.all(
      Array.from({ length: 700 }, (_, i) =>
        limits.take([spec(`many-${i % 7}`, { max: 30 }), spec('all', { max: 200 })]),
      ),
    )
    expect(all.filter(({ allowed }) => allowed)).toHaveLength(200)
    const { limits: found } = await limits.list({ limit: 1000 })
    const used = (name: string) => found.find((one) => one.name === name)?.used ?? 0
    const sum = Array.from({ length: 7 }, (_, i) => used(`many-${i}`))
    expect(sum.reduce((total, one) => total + one, 0)).toBe(200)
    expect(Math.max(...sum)).toBeLessThanOrEqual(30)
  })

  it('is over when Spillway is closed', async () => {
    const other = await Spillway.open({ postgres: database.url })
    const { limits } = other.tenant('acme')
    await other.close()
    await expect(limits.take([spec('x')])).rejects.toMatchObject({ code: 'CLOSED' })
  })
})
