import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { Appender } from '../../src/events/appender.js'
import { PostgresLog } from '../../src/events/postgres.js'
import { migrate } from '../../src/postgres/migrate.js'
import { ServerDatabase } from '../../src/postgres/server.js'
import { holdFlow, type Outside, openOutside } from '../postgres/outside.js'
import { freshDatabase } from '../support/database.js'
import { eventually } from '../support/eventually.js'
import { startPostgres } from '../support/postgres.js'
import { startProxy, type TcpProxy } from '../support/proxy.js'
import { draft, eventOf, newBatch, numbered, readAll, seqsOf, someFlow } from './drafts.js'

let fresh: Awaited<ReturnType<typeof freshDatabase>>
let proxy: TcpProxy
let database: ServerDatabase
let log: PostgresLog
let outside: Outside

beforeAll(async () => {
  fresh = await freshDatabase()
  proxy = await startProxy(fresh.url)
  database = new ServerDatabase({ url: proxy.url, listenUrl: null, poolSize: 6, statementTimeoutMs: 1500 })
  await migrate(database)
  log = new PostgresLog(database)
  outside = await openOutside(fresh.adminUrl)
})
afterAll(async () => {
  await outside.close()
  await database.close()
  await proxy.close()
  await fresh.drop()
})

describe('the appender', () => {
  it('keeps the order of publishing within each flow, however many publish at once', async () => {
    const told: string[] = []
    const appender = new Appender(log, {
      parallel: 2,
      batchEvents: 40,
      onStored: (drafts) => told.push(...drafts.map(({ flow, payload }) => `${flow}/${payload}`)),
    })
    const refs = Array.from({ length: 20 }, () => someFlow())
    const published = Array.from({ length: 1000 }, (_, i) => {
      const ref = refs[i % 20] as (typeof refs)[number]
      return appender.append([draft(ref, { payload: String(i) })])
    })
    const outcomes = await Promise.all(published)
    outcomes.forEach(([outcome], i) => {
      expect(eventOf(outcome)).toMatchObject({ payload: String(i), seq: Math.floor(i / 20) + 1 })
    })
    for (const ref of refs) {
      const payloads = (await readAll(log, ref)).map((event) => event.payload)
      expect(payloads).toHaveLength(50)
      expect(payloads.map(Number)).toEqual(payloads.map(Number).sort((a, b) => a - b))
      // Whoever is told of commits is told in the same order.
      expect(told.filter((line) => line.startsWith(`${ref.flow}/`))).toEqual(
        payloads.map((payload) => `${ref.flow}/${payload}`),
      )
    }
    await appender.settled()
  })

  it('stores what was published together next to each other', async () => {
    const appender = new Appender(log, { parallel: 2, batchEvents: 10 })
    const ref = someFlow()
    const units = await Promise.all(
      Array.from({ length: 30 }, (_, i) => appender.append(numbered(ref, 7, i * 7))),
    )
    for (const unit of units) {
      const seqs = seqsOf(unit)
      expect(seqs).toEqual(seqs.map((_, i) => (seqs[0] as number) + i))
    }
  })

  it('lets other flows go on while a transaction holds one, and stores the held one once', async () => {
    const appender = new Appender(log, { parallel: 2 })
    const [held, ...others] = Array.from({ length: 30 }, () => someFlow())
    if (!held) throw new Error('no flow')
    await log.append([draft(held)], newBatch())
    const release = await holdFlow(outside, held.tenant, held.flow)
    let heldIsStored = false
    const waiting = Promise.all([
      appender.append([draft(held, { payload: '1' })]),
      appender.append([draft(held, { payload: '2' })]),
    ]).then((outcomes) => {
      heldIsStored = true
      return outcomes
    })
    // The first round shares its batch with the held flow; the next ones must not wait for it at all.
    await Promise.all(others.map((ref) => appender.append([draft(ref)])))
    const started = performance.now()
    for (let i = 0; i < 5; i++) await Promise.all(others.map((ref) => appender.append([draft(ref)])))
    const later = appender.append([draft(held, { payload: '3' })])
    expect(performance.now() - started).toBeLessThan(1000)
    expect(heldIsStored).toBe(false)
    await release()
    expect((await waiting).flatMap(seqsOf)).toEqual([2, 3])
    expect(seqsOf(await later)).toEqual([4])
    expect((await readAll(log, held)).map((event) => event.payload)).toEqual(['{}', '1', '2', '3'])
    for (const ref of others) expect(await readAll(log, ref)).toHaveLength(6)
  })

  it('gives a held flow up at the deadline, with a code that says so, and nothing is stored', async () => {
    const appender = new Appender(log, { parallel: 2, deadlineMs: 300 })
    const ref = someFlow()
    await log.append([draft(ref)], newBatch())
    const release = await holdFlow(outside, ref.tenant, ref.flow)
    await expect(appender.append([draft(ref)])).rejects.toMatchObject({ code: 'FLOW_BUSY', temporary: true })
    await release()
    expect(await readAll(log, ref)).toHaveLength(1)
  })

  it.each(['reply', 'request'] as const)('stores an event once when the %s is lost', async (what) => {
    const appender = new Appender(log, { parallel: 2 })
    const refs = [someFlow(), someFlow()]
    for (let round = 1; round <= 5; round++) {
      const cut = proxy.lose(what, 'spillway.append')
      const outcomes = await Promise.all(refs.map((ref) => appender.append(numbered(ref, 3))))
      await cut
      for (const unit of outcomes) expect(seqsOf(unit)).toEqual([0, 1, 2].map((i) => (round - 1) * 3 + 1 + i))
    }
    for (const ref of refs) expect((await readAll(log, ref)).map(({ seq }) => seq)).toHaveLength(15)
  })

  it('refuses with OVERLOADED what it cannot keep, and takes publishes again afterwards', async () => {
    const appender = new Appender(log, { parallel: 1, queueBytes: 10_000 })
    const go = proxy.stall()
    const ref = someFlow()
    const payload = JSON.stringify('x'.repeat(3000))
    const publishes = Array.from({ length: 6 }, () => appender.append([draft(ref, { payload })]))
    const settled = Promise.allSettled(publishes)
    await expect(publishes.at(-1)).rejects.toMatchObject({
      code: 'OVERLOADED',
      temporary: true,
      retryAfterMs: expect.any(Number),
    })
    go()
    const answers = (await settled).map(({ status }) => status)
    expect(answers.filter((status) => status === 'fulfilled')).toHaveLength(3)
    expect(await appender.append([draft(ref, { payload })])).toMatchObject([{ event: { seq: 4 } }])
  })

  it('says STORE_UNAVAILABLE at the deadline, also to publishes that wait behind', async () => {
    const appender = new Appender(log, { parallel: 1, deadlineMs: 400 })
    const go = proxy.stall()
    const started = performance.now()
    const refs = [someFlow(), someFlow(), someFlow()]
    const publishes = [
      appender.append([draft(refs[0] ?? someFlow())]),
      ...refs.map((ref) => appender.append([draft(ref)])),
    ]
    const answers = await Promise.allSettled(publishes)
    expect(performance.now() - started).toBeLessThan(5000)
    for (const answer of answers) {
      expect(answer).toMatchObject({
        status: 'rejected',
        reason: { code: 'STORE_UNAVAILABLE', temporary: true },
      })
    }
    go()
    await appender.settled()
    await eventually(async () => (await appender.append([draft(someFlow())])).length === 1)
  })

  it('loses and doubles nothing when PostgreSQL is killed and comes back, and no publisher sees it', async () => {
    const server = await startPostgres()
    const own = await server.database()
    const away = new ServerDatabase({ url: own.url, listenUrl: null, poolSize: 4 })
    try {
      await migrate(away)
      const its = new PostgresLog(away)
      const appender = new Appender(its, { parallel: 2, deadlineMs: 20_000 })
      const refs = Array.from({ length: 8 }, () => someFlow())
      const acknowledged = new Map(refs.map((ref) => [ref.flow, [] as number[]]))
      let publishing = true
      let count = 0
      const publishers = refs.flatMap((ref) =>
        [0, 1].map(async () => {
          while (publishing) {
            const outcome = await appender.append([draft(ref, { payload: String(++count) })])
            acknowledged.get(ref.flow)?.push(Number(eventOf(outcome[0]).payload))
          }
        }),
      )
      for (const way of ['immediate', 'kill', 'immediate'] as const) {
        const from = count
        await eventually(() => count > from + 300, { what: 'publishing' })
        if (way === 'kill') await server.kill()
        else await server.stop('immediate')
        await server.start()
      }
      const from = count
      await eventually(() => count > from + 100, { what: 'publishing' })
      publishing = false
      await Promise.all(publishers)
      for (const ref of refs) {
        const events = await readAll(its, ref)
        expect(events.map((event) => event.seq)).toEqual(events.map((_, i) => i + 1))
        const stored = events.map((event) => Number(event.payload))
        expect(stored.sort((a, b) => a - b)).toEqual(acknowledged.get(ref.flow)?.sort((a, b) => a - b))
      }
    } finally {
      await away.close()
      await server.remove()
    }
  }, 60_000)
})
