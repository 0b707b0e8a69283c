import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { Spillway, type SpillwayOptions } from '../../src/index.js'
import { openOutside } from '../postgres/outside.js'
import { freshDatabase } from '../support/database.js'
import { eventually } from '../support/eventually.js'
import { type PgBouncer, startPgBouncer } from '../support/pgbouncer.js'
import { startPostgres } from '../support/postgres.js'
import { gapOf, reading, seqs, upTo } from './readers.js'

let fresh: Awaited<ReturnType<typeof freshDatabase>>
let pooler: PgBouncer
const opened: Spillway[] = []
let names = 0
const flowName = () => `live-${++names}`

async function open(config: SpillwayOptions['config'] = {}, postgres = fresh.url): Promise<Spillway> {
  const spillway = await Spillway.open({ postgres, config: { poolSize: 4, ...config } })
  opened.push(spillway)
  return spillway
}

beforeAll(async () => {
  fresh = await freshDatabase()
  await open()
  pooler = await startPgBouncer(fresh.url)
})
afterAll(async () => {
  for (const spillway of opened) await spillway.close()
  await pooler.remove()
  await fresh.drop()
})

describe.each([
  { how: 'with LISTEN', url: () => fresh.url, config: { backstopMs: 60_000 } },
  { how: 'by looking alone', url: () => fresh.url, config: { listenUrl: 'off', backstopMs: 80 } },
  { how: 'through PgBouncer', url: () => pooler.url, config: { backstopMs: 200 } },
  {
    how: 'through PgBouncer, with LISTEN past it',
    url: () => pooler.url,
    config: () => ({ listenUrl: fresh.url, backstopMs: 60_000 }),
  },
])('from one instance to another $how', ({ url, config }) => {
  let a: Spillway
  let b: Spillway
  beforeAll(async () => {
    const its = typeof config === 'function' ? config() : config
    a = await open(its, url())
    b = await open(its, url())
  })

  it('each event arrives once and in order', async () => {
    const names = [flowName(), flowName(), flowName()]
    const readings = names.flatMap((name) =>
      [1, 2].map(() => reading((signal) => b.tenant('acme').flow(name).subscribe({ after: '0', signal }))),
    )
    const publisher = a.tenant('acme')
    // What the readers are first to see says that they are there.
    for (const name of names) await publisher.flow(name).publish('first')
    await Promise.all(readings.map((one) => one.until(1)))
    await Promise.all(
      names.map(async (name) => {
        for (let i = 2; i <= 300; i += 4) {
          await Promise.all([0, 1, 2, 3].map((n) => publisher.flow(name).publish('tick', { n: i + n })))
        }
      }),
    )
    for (const one of readings) {
      expect(seqs(await one.until(301))).toEqual(upTo(301))
      await one.stop()
      expect(one.events.length).toBe(301)
    }
  })
})

it('notices that LISTEN through PgBouncer in transaction mode hears nothing', async () => {
  const deaf = await open({}, pooler.url)
  const heard: boolean[] = []
  const stop = await deaf.database.listen('spillway', {
    heard: () => undefined,
    hearing: (works) => heard.push(works),
  })
  await eventually(() => heard.length > 0, { withinMs: 12_000, what: 'a verdict' })
  await stop()
  expect(heard).toEqual([false])
}, 20_000)

it('hears again after its LISTEN connection was cut', async () => {
  const spillway = await open({ backstopMs: 60_000 })
  const other = await open({ backstopMs: 60_000 })
  const name = flowName()
  const reader = reading((signal) => spillway.tenant('acme').flow(name).subscribe({ after: '0', signal }))
  await other.tenant('acme').flow(name).publish('tick')
  await reader.until(1)
  const outside = await openOutside(fresh.adminUrl)
  const listeners = `SELECT pid FROM pg_stat_activity WHERE datname = current_database() AND query LIKE 'SELECT pg_notify%' OR query LIKE 'LISTEN%'`
  const { rows } = await outside.client.query(`SELECT pg_terminate_backend(pid) FROM (${listeners}) l`)
  expect(rows.length).toBeGreaterThan(0)
  for (let i = 0; i < 20; i++) await other.tenant('acme').flow(name).publish('tick')
  expect(seqs(await reader.until(21))).toEqual(upTo(21))
  await other.tenant('acme').flow(name).publish('tick')
  await reader.until(22)
  await reader.stop()
  await outside.close()
})

describe('a subscription', () => {
  let spillway: Spillway
  let other: Spillway
  beforeAll(async () => {
    spillway = await open({ backstopMs: 100 })
    other = await open({ backstopMs: 100 })
  })

  it('joins history and live without a race, wherever it begins in the middle of heavy publishing', async () => {
    const flow = spillway.tenant('acme').flow(flowName())
    const elsewhere = other.tenant('acme').flow(flow.name)
    let publishing = true
    let last = 0
    const publishers = [flow, elsewhere, flow].map(async (its) => {
      while (publishing) {
        const { id } = await its.publish('tick')
        last = Math.max(last, Number(id.split('-')[1]))
      }
    })
    await eventually(() => last > 50)
    const rounds = Array.from({ length: 50 }, async (_, i) => {
      await eventually(() => last > 50 + i * 12, { everyMs: 3 })
      const from = i % 5 === 0 ? 0 : Math.floor(Math.random() * (last + 1))
      const reader = reading((signal) =>
        (i % 2 === 0 ? spillway : other)
          .tenant('acme')
          .flow(flow.name)
          .subscribe({ after: `1-${from}`, signal }),
      )
      const enough = last - from + 40
      await reader.until(enough)
      await reader.stop()
      expect(seqs(reader.events)).toEqual(upTo(from + reader.events.length, from + 1))
    })
    await Promise.all(rounds)
    publishing = false
    await Promise.all(publishers)
  })

  it('without a cursor gives what happens from its beginning on', async () => {
    const flow = spillway.tenant('acme').flow(flowName())
    await flow.publish('before')
    const reader = reading((signal) => flow.subscribe({ signal }))
    // Whether it has begun shows only in what it brings.
    await eventually(async () => {
      await flow.publish('tick')
      return reader.events.length > 0
    })
    await reader.stop()
    expect(reader.events.every(({ type }) => type === 'tick')).toBe(true)
    const got = seqs(reader.events)
    expect(got).toEqual(upTo(got.at(-1) as number, got[0] as number))
  })

  it('waits for a consumer that stops, within bounds, and goes on where it was', async () => {
    const flow = spillway.tenant('acme').flow(flowName())
    const stream = flow.subscribe({ after: '0' })
    await flow.publish('tick')
    const got = [(await stream.next()).value]
    for (let i = 0; i < 40; i++) {
      await flow.publishMany(Array.from({ length: 100 }, () => ({ type: 'tick' })))
    }
    while (got.length < 4001) got.push((await stream.next()).value)
    expect(seqs(got.flatMap((event) => event ?? []))).toEqual(upTo(4001))
    await flow.publish('tick')
    expect((await stream.next()).value).toMatchObject({ id: '1-4002' })
    await stream.return?.()
  })

  it('ends when its signal says so, before and while it waits', async () => {
    const flow = spillway.tenant('acme').flow(flowName())
    const reader = reading((signal) => flow.subscribe({ after: '0', signal }))
    await flow.publish('tick')
    await reader.until(1)
    await reader.stop()
    expect(await reader.ended).toBeUndefined()
    const never = flow.subscribe({ signal: AbortSignal.abort() })
    expect(await never.next()).toEqual({ done: true, value: undefined })
  })

  it('has what was published after the call, before anybody asked for it', async () => {
    const flow = spillway.tenant('acme').flow(flowName())
    await flow.publish('before')
    const stream = flow.subscribe()
    await flow.publish('after')
    await other.tenant('acme').flow(flow.name).publish('from elsewhere')
    const got = await Promise.all([stream.next(), stream.next()])
    expect(got.map(({ value }) => value?.type)).toEqual(['after', 'from elsewhere'])
    await stream.return?.()
    expect(await stream.next()).toEqual({ done: true, value: undefined })
  })

  it('refuses what is no cursor', () => {
    const flow = spillway.tenant('acme').flow(flowName())
    for (const after of ['', 'x', '1-', '1-2-3', '-1'])
      expect(() => flow.subscribe({ after })).toThrow(expect.objectContaining({ code: 'INVALID_CURSOR' }))
  })

  it('names what was trimmed, what is lost in a new life of the log, and what nobody issued', async () => {
    const flow = spillway.tenant('acme').flow(flowName())
    await flow.publishMany(Array.from({ length: 30 }, () => ({ type: 'tick' })))
    const outside = await openOutside(fresh.adminUrl)
    const first = async (after: string) => {
      const reader = reading((signal) => flow.subscribe({ after, signal }))
      await reader.until(2)
      await reader.stop()
      return reader.events.slice(0, 2)
    }
    try {
      await outside.client.query(
        `WITH f AS (UPDATE spillway.flows SET floor = 20 WHERE flow = $1 RETURNING id)
         DELETE FROM spillway.events USING f WHERE flow_id = f.id AND seq <= 20`,
        [flow.name],
      )
      const [trimmed, next] = await first('1-5')
      expect(gapOf(trimmed)).toEqual({ flow: flow.name, from: '1-6', to: '1-20', reason: 'trimmed' })
      expect([trimmed?.id, next?.id]).toEqual(['1-20', '1-21'])
      expect((await first('0')).map(({ id, type }) => [id, type])).toMatchObject([
        ['1-20', 'gap'],
        ['1-21', 'tick'],
      ])

      const ahead = reading((signal) => flow.subscribe({ after: '1-99', signal }))
      expect(gapOf((await ahead.until(1))[0])).toMatchObject({ from: '1-31', to: '1-99', reason: 'unknown' })
      const live = reading((signal) => flow.subscribe({ after: '1-30', signal }))
      await outside.client.query('UPDATE spillway.log_life SET term = term + 1')
      await flow.publish('after the restore')
      expect((await ahead.until(2))[1]).toMatchObject({ id: '2-31', type: 'after the restore' })
      expect((await live.until(1))[0]).toMatchObject({ id: '2-31', type: 'after the restore' })
      await ahead.stop()
      await live.stop()
      const [lost, after] = await first('1-33')
      expect(gapOf(lost)).toMatchObject({ from: '1-31', to: '1-33', reason: 'lost' })
      expect(after?.id).toBe('2-31')
      expect((await flow.history({ after: '1-33' })).map(({ id, type }) => [id, type])).toEqual([
        ['2-30', 'gap'],
        ['2-31', 'after the restore'],
      ])
    } finally {
      await outside.client.query('UPDATE spillway.log_life SET term = 1')
      await outside.close()
    }
  })

  it('is not a way into another tenant: its cursors and names lead to a log of its own', async () => {
    const name = flowName()
    await spillway.tenant('acme').flow(name).publish('secret', { of: 'acme' })
    const reader = reading((signal) =>
      spillway.tenant('rival').flow(name).subscribe({ after: '1-1', signal }),
    )
    expect(gapOf((await reader.until(1))[0])).toMatchObject({ reason: 'unknown' })
    await spillway.tenant('acme').flow(name).publish('secret', { of: 'acme' })
    await spillway.tenant('rival').flow(name).publish('own')
    expect((await reader.until(2)).map(({ type }) => type)).toEqual(['gap', 'own'])
    await reader.stop()
    expect(await spillway.tenant('rival').flow(name).history()).toHaveLength(1)
  })

  it('ends with CLOSED when its Spillway is closed, and so does one that begins afterwards', async () => {
    const short = await open()
    const flow = short.tenant('acme').flow(flowName())
    const reader = reading((signal) => flow.subscribe({ after: '0', signal }))
    await flow.publish('tick')
    await reader.until(1)
    await short.close()
    expect(await reader.ended).toMatchObject({ code: 'CLOSED' })
    await expect(flow.subscribe().next()).rejects.toMatchObject({ code: 'CLOSED' })
    await expect(flow.publish('tick')).rejects.toMatchObject({ code: 'CLOSED' })
    await expect(flow.history()).rejects.toMatchObject({ code: 'CLOSED' })
    await expect(flow.state()).rejects.toMatchObject({ code: 'CLOSED' })
  })
})

it('a subscription goes on when the database was away, on every instance, by itself', async () => {
  const server = await startPostgres()
  const own = await server.database()
  const config = { backstopMs: 100 }
  const a = await Spillway.open({ postgres: own.url, config })
  const b = await Spillway.open({ postgres: own.url, config })
  try {
    const flow = a.tenant('acme').flow('f')
    const readings = [a, b].map((its) =>
      reading((signal) => its.tenant('acme').flow('f').subscribe({ after: '0', signal })),
    )
    await flow.publish('tick')
    await Promise.all(readings.map((one) => one.until(1)))
    await server.stop('immediate')
    const during = flow.publish('tick')
    const late = reading((signal) => b.tenant('acme').flow('f').subscribe({ after: '1-1', signal }))
    const lateElsewhere = reading((signal) => b.tenant('acme').flow('g').subscribe({ after: '0', signal }))
    await server.start()
    expect((await during).id).toBe('1-2')
    await a.tenant('acme').flow('g').publish('tick')
    for (const one of readings) expect(seqs(await one.until(2))).toEqual([1, 2])
    expect(seqs(await late.until(1))).toEqual([2])
    expect(seqs(await lateElsewhere.until(1))).toEqual([1])
    for (const one of [...readings, late, lateElsewhere]) await one.stop()
  } finally {
    await a.close()
    await b.close()
    await server.remove()
  }
}, 60_000)
