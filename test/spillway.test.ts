import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { Spillway, SpillwayError } from '../src/index.js'
import { gapOf, reading, seqs, upTo } from './events/readers.js'
import { freshDatabase } from './support/database.js'
import { eventually } from './support/eventually.js'
import { freePort } from './support/processes.js'

let fresh: Awaited<ReturnType<typeof freshDatabase>>
let spillway: Spillway
let names = 0

beforeAll(async () => {
  fresh = await freshDatabase()
  spillway = await Spillway.open({
    postgres: fresh.url,
    config: { poolSize: 4, maxPayloadBytes: 1000, maxBatchEvents: 20 },
  })
})
afterAll(async () => {
  await spillway.close()
  await fresh.drop()
})

const someFlow = () => spillway.tenant('acme').flow(`f-${++names}`)

describe('publishing', () => {
  it('answers the event as its readers will have it', async () => {
    const flow = someFlow()
    const event = await flow.publish(
      'phase_completed',
      { phase: 'import', '😀': [null, 1.5] },
      { source: 'importer' },
    )
    expect(event).toEqual({
      id: '1-1',
      flow: flow.name,
      type: 'phase_completed',
      payload: { phase: 'import', '😀': [null, 1.5] },
      source: 'importer',
      timestamp: expect.stringMatching(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/),
      durability: 'durable',
    })
    const { durability, ...rest } = event
    expect(durability).toBe('durable')
    expect(await flow.history()).toEqual([rest])
    expect(await flow.publish('bare')).toMatchObject({ payload: {}, source: 'system' })
  })

  it('keeps the events of one call next to each other, and those of many calls in their order', async () => {
    const flow = someFlow()
    const calls = Array.from({ length: 40 }, (_, i) =>
      flow.publishMany([1, 2, 3].map((n) => ({ type: 'tick', payload: [i, n] }))),
    )
    const ids = (await Promise.all(calls)).flat().map(({ id }) => id)
    expect(ids).toEqual(upTo(120).map((n) => `1-${n}`))
  })

  it('answers the first event for a key, also to calls at the same moment', async () => {
    const flow = someFlow()
    const all = await Promise.all(
      Array.from({ length: 10 }, (_, n) => flow.publish('tick', { n }, { key: 'once' })),
    )
    expect(new Set(all.map((event) => JSON.stringify(event))).size).toBe(1)
    expect(all[0]).toMatchObject({ id: '1-1', payload: { n: 0 } })
    expect(await flow.history()).toHaveLength(1)
  })

  it('fixes the durability of a flow by its first event', async () => {
    const { name } = someFlow()
    const flow = (durability?: 'durable' | 'fast') => spillway.tenant('acme').flow(name, { durability })
    expect(await flow('fast').publish('tick')).toMatchObject({ durability: 'fast' })
    await expect(flow('durable').publish('tick')).rejects.toMatchObject({
      code: 'DURABILITY_FIXED',
      status: 409,
    })
    expect(await flow().publish('tick')).toMatchObject({ id: '1-2', durability: 'fast' })
  })

  const circle: unknown[] = []
  circle.push(circle)
  it.each([
    ['an empty type', { type: '' }, 'INVALID_NAME'],
    ['a type with CR', { type: 'a\rb' }, 'INVALID_NAME'],
    ['a long type', { type: 'ü'.repeat(65) }, 'INVALID_NAME'],
    ['half a surrogate pair', { type: '\ud800' }, 'INVALID_NAME'],
    ['a type of its own', { type: 'gap' }, 'RESERVED_TYPE'],
    ['a type of its own', { type: 'spillway.canary' }, 'RESERVED_TYPE'],
    ['an empty source', { type: 'a', source: '' }, 'INVALID_NAME'],
    ['a source with NUL', { type: 'a', source: '\u0000' }, 'INVALID_NAME'],
    ['an empty key', { type: 'a', key: '' }, 'INVALID_NAME'],
    ['a long key', { type: 'a', key: 'k'.repeat(257) }, 'INVALID_NAME'],
    ['a circle', { type: 'a', payload: circle }, 'INVALID_JSON'],
    ['a bigint', { type: 'a', payload: 1n }, 'INVALID_JSON'],
    ['a function', { type: 'a', payload: () => 1 }, 'INVALID_JSON'],
    ['a large payload', { type: 'a', payload: 'x'.repeat(999) }, 'PAYLOAD_TOO_LARGE'],
    ['a payload large in bytes', { type: 'a', payload: 'ü'.repeat(500) }, 'PAYLOAD_TOO_LARGE'],
  ])('refuses %s, and nothing of the batch is written', async (_, event, code) => {
    const flow = someFlow()
    await expect(flow.publishMany([{ type: 'good' }, event])).rejects.toMatchObject({
      code,
      temporary: false,
    })
    expect(await flow.history()).toEqual([])
  })

  it('refuses no events and too many, and takes payloads and batches up to the limit', async () => {
    const flow = someFlow()
    const many = (count: number) =>
      Array.from({ length: count }, () => ({ type: 'tick', payload: 'x'.repeat(998) }))
    await expect(flow.publishMany([])).rejects.toMatchObject({ code: 'INVALID_ARGUMENT' })
    await expect(flow.publishMany(many(21))).rejects.toMatchObject({ code: 'BATCH_TOO_LARGE' })
    expect(await flow.publishMany(many(20))).toHaveLength(20)
  })

  it('stops to wait when its signal says so', async () => {
    const flow = someFlow()
    await expect(flow.publish('tick', {}, { signal: AbortSignal.abort() })).rejects.toMatchObject({
      code: 'ABORTED',
    })
    expect(await flow.history()).toEqual([])
  })
})

describe('names', () => {
  it('of tenants and flows are checked before anything else', () => {
    const bad = ['', '.', '..', 'a\nb', '\u0000', '\u2028', '\ud800', 'x'.repeat(257)]
    for (const name of bad) {
      const refused = expect.objectContaining({ code: 'INVALID_NAME' })
      expect(() => spillway.tenant(name)).toThrow(refused)
      expect(() => spillway.tenant('acme').flow(name)).toThrow(refused)
    }
    const odd = 'fast-ish' as 'fast'
    expect(() => spillway.tenant('acme').flow('f', { durability: odd })).toThrow(SpillwayError)
  })
})

describe('history', () => {
  it('is read by cursors, in both directions, and the newest so many', async () => {
    const flow = someFlow()
    for (let i = 0; i < 2; i++) await flow.publishMany(Array.from({ length: 15 }, () => ({ type: 'tick' })))
    const read = async (options: Parameters<typeof flow.history>[0]) => seqs(await flow.history(options))
    expect(await read({})).toEqual(upTo(30))
    expect(await read({ after: '1-10', limit: 5 })).toEqual(upTo(15, 11))
    expect(await read({ before: '1-10', limit: 5 })).toEqual(upTo(5))
    expect(await read({ before: '1-10', limit: 3, order: 'desc' })).toEqual([9, 8, 7])
    expect(await read({ last: 4 })).toEqual(upTo(30, 27))
    expect(await read({ last: 4, before: '1-20' })).toEqual(upTo(19, 16))
    expect(await read({ after: '1-30' })).toEqual([])
    expect(await read({ after: '0', limit: 1 })).toEqual([1])
  })

  it.each([
    [{ after: 'x' }, 'INVALID_CURSOR'],
    [{ before: '1-' }, 'INVALID_CURSOR'],
    [{ limit: 0 }, 'INVALID_ARGUMENT'],
    [{ limit: 1001 }, 'INVALID_ARGUMENT'],
    [{ limit: 1.5 }, 'INVALID_ARGUMENT'],
    [{ last: -1 }, 'INVALID_ARGUMENT'],
    [{ order: 'up' as 'asc' }, 'INVALID_ARGUMENT'],
  ])('refuses %j', async (options, code) => {
    await expect(someFlow().history(options)).rejects.toMatchObject({ code })
  })
})

describe('retention', () => {
  it('keeps a flow near its number of events while it is published to, and names what it trimmed', async () => {
    const small = await Spillway.open({ postgres: fresh.url, config: { poolSize: 4, retentionEvents: 100 } })
    const flow = small.tenant('acme').flow(`f-${++names}`)
    const reader = reading((signal) => flow.subscribe({ signal }))
    const kept = async () => {
      const { position } = await flow.readPage({ limit: 1 })
      return position ? position.head - position.floor : Number.POSITIVE_INFINITY
    }
    let most = 0
    for (let i = 0; i < 200; i++) {
      await flow.publishMany(Array.from({ length: 25 }, () => ({ type: 'tick' })))
      if (i % 5 === 0) most = Math.max(most, await kept())
    }
    // Trimming runs beside publishing: it is behind by what is published during one of its rounds.
    expect(most).toBeLessThan(1000)
    await eventually(async () => (await kept()) <= 110, { what: 'the last round' })
    expect(seqs(await reader.until(5000))).toEqual(upTo(5000))
    await reader.stop()

    const stale = await flow.history({ after: '1-7', limit: 1000 })
    const gap = gapOf(stale[0])
    expect(gap).toMatchObject({ from: '1-8', reason: 'trimmed' })
    const last = Number(gap.to.split('-')[1])
    expect(seqs(stale.slice(1))).toEqual(upTo(5000, last + 1))
    const late = reading((signal) => flow.subscribe({ after: '1-7', signal }))
    expect(gapOf((await late.until(2))[0])).toEqual(gap)
    await late.stop()
    await small.close()
  })
})

describe('opening', () => {
  it('says what is wrong in one line with a code', async () => {
    const port = await freePort()
    await expect(Spillway.open({ postgres: `postgres://u:p@127.0.0.1:${port}/d` })).rejects.toMatchObject({
      code: 'STORE_UNAVAILABLE',
    })
    const wrong = new URL(fresh.url)
    wrong.password = 'wrong'
    await expect(Spillway.open({ postgres: wrong.href })).rejects.toMatchObject({ code: 'STORE_UNAVAILABLE' })
    wrong.password = new URL(fresh.url).password
    wrong.pathname = '/no_such_database'
    await expect(Spillway.open({ postgres: wrong.href })).rejects.toMatchObject({ code: 'STORE_UNAVAILABLE' })
  })

  it('closes once, after what is under way is stored', async () => {
    const short = await Spillway.open({ postgres: fresh.url })
    expect(short.mode).toBe('postgres')
    const flow = short.tenant('acme').flow(`f-${++names}`)
    const published = flow.publishMany([{ type: 'a' }, { type: 'b' }])
    await Promise.all([short.close(), short.close()])
    expect(await published).toHaveLength(2)
    expect(await spillway.tenant('acme').flow(flow.name).history()).toHaveLength(2)
  })
})
