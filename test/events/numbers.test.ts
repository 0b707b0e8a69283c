import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { Kinds, LEAP } from '../../src/events/kinds.js'
import { PostgresLog } from '../../src/events/postgres.js'
import { migrate } from '../../src/postgres/migrate.js'
import { ServerDatabase } from '../../src/postgres/server.js'
import { holdFlow, openOutside, somebodyWaits } from '../postgres/outside.js'
import { freshDatabase } from '../support/database.js'
import { eventually } from '../support/eventually.js'
import type { FreshDatabase } from '../support/postgres.js'
import { draft, keep, newBatch, seqsOf, someFlow } from './drafts.js'

function tries(work: () => unknown): boolean {
  try {
    work()
    return true
  } catch {
    return false
  }
}

describe('the numbers of a fast flow, as PostgreSQL gives and foresees them', () => {
  let fresh: FreshDatabase
  let database: ServerDatabase
  let log: PostgresLog
  beforeAll(async () => {
    fresh = await freshDatabase()
    database = new ServerDatabase({ url: fresh.url, listenUrl: null, poolSize: 2 })
    await migrate(database)
    log = new PostgresLog(database)
  })
  afterAll(async () => {
    await database?.close()
    await fresh?.drop()
  })

  const reign = (number: number, store: 'redis' | 'postgres') =>
    database.query('UPDATE spillway.term SET number = $1, store = $2', [number, store])
  const fast = (ref: ReturnType<typeof someFlow>) => [draft(ref, { durability: 'fast' })]
  /** Every reign is met by a process that has heard nothing before. */
  const baseOf = async (ref: ReturnType<typeof someFlow>, number: number) =>
    (await new Kinds(database).start(ref, number)).base

  it('leap over what Redis may have given, though nobody could report it', async () => {
    const ref = someFlow()
    await reign(2, 'redis')
    expect(await baseOf(ref, 2)).toBe(0)
    await reign(3, 'postgres')
    expect(seqsOf(await log.appendIn(3, fast(ref), newBatch()))).toEqual([LEAP + 1])
    await reign(4, 'redis')
    expect(await baseOf(ref, 4)).toBe(LEAP + 1)
    await reign(5, 'postgres')
    // Nobody has given what lies between in that term: a reader who has more than it knows is no loser.
    const { position } = await log.read(ref, { order: 'asc', limit: 10 })
    expect(position).toMatchObject({ term: 4, termFrom: LEAP + 2, head: LEAP + 1 })
    expect(seqsOf(await log.appendIn(5, fast(ref), newBatch()))).toEqual([2 * LEAP + 2])
  })

  it('are begun by one instance a reign, and again only beyond all that were given', async () => {
    const ref = someFlow()
    await reign(2, 'redis')
    const [a, b] = [new Kinds(database), new Kinds(database)]
    const starts = await Promise.all([a.start(ref, 2), b.start(ref, 2)])
    expect(starts.map(({ begins }) => begins).sort()).toEqual(['', 'new'])
    // Used up, given back, and used up.
    const [winner, other] = starts[0]?.begins === 'new' ? [a, b] : [b, a]
    expect(await winner.start(ref, 2)).toMatchObject({ begins: '' })
    winner.unused(ref, 2, { base: 0, known: 0, begins: 'new' })
    expect([await winner.start(ref, 2), await winner.start(ref, 2)]).toMatchObject([
      { base: 0, begins: 'new' },
      { begins: '' },
    ])
    // Twice lost before anybody could report: what either began is passed over.
    for (const [kinds, base] of [
      [other, LEAP],
      [winner, 2 * LEAP],
    ] as const) {
      await kinds.again(ref, 2)
      expect([await kinds.start(ref, 2), await kinds.start(ref, 2)]).toMatchObject([
        { base, begins: 'again' },
        { base, begins: '' },
      ])
    }
    a.close()
    b.close()
  })

  it('begin anew for a flow that is forgotten while it is asked for', async () => {
    const ref = someFlow()
    await reign(2, 'redis')
    const kinds = new Kinds(database)
    await kinds.start(ref, 2)
    const [outside, watcher] = [await openOutside(fresh.adminUrl), await openOutside(fresh.adminUrl)]
    const gone = await outside.hold(
      `WITH flow AS (DELETE FROM spillway.heads WHERE tenant = $1 AND flow = $2 RETURNING flow_id)
       DELETE FROM spillway.flows WHERE id IN (SELECT flow_id FROM flow)`,
      [ref.tenant, ref.flow],
    )
    const again = kinds.again(ref, 2)
    await eventually(() => somebodyWaits(watcher), { what: 'it waits' })
    await gone('COMMIT')
    await again
    expect(await kinds.start(ref, 2)).toMatchObject({ begins: 'new' })
    kinds.close()
    await Promise.all([outside.close(), watcher.close()])
  })

  it('leap in the same way for who publishes in SQL', async () => {
    const ref = someFlow()
    await reign(2, 'redis')
    await baseOf(ref, 2)
    await reign(3, 'postgres')
    const [row] = await database.query<{ id: string }>(`SELECT spillway.publish($1, $2, 'tick') AS id`, [
      ref.tenant,
      ref.flow,
    ])
    expect(row?.id).toBe(`3-${LEAP + 1}`)
  })

  it('leap where one Redis follows on another, and are the same to all who ask in one reign', async () => {
    const ref = someFlow()
    await reign(6, 'redis')
    expect([await baseOf(ref, 6), await baseOf(ref, 6)]).toEqual([0, 0])
    await reign(7, 'redis')
    expect([await baseOf(ref, 7), await baseOf(ref, 7)]).toEqual([LEAP, LEAP])
  })

  it('never run so far ahead of what PostgreSQL has heard that its leap would not leave a hole', async () => {
    const [leap] = await database.query<{ leap: number }>('SELECT spillway.leap() AS leap')
    expect(Number(leap?.leap)).toBe(LEAP)
    const ref = someFlow()
    await reign(12, 'redis')
    const kinds = new Kinds(database)
    await kinds.start(ref, 12)
    const head = LEAP / 2 + 1
    kinds.counted(ref, head - 1, 12)
    expect(kinds.start(ref, 12)).toMatchObject({ base: 0, known: head - 1, begins: '' })
    kinds.counted(ref, head, 12)
    expect(() => kinds.start(ref, 12)).toThrow(
      expect.objectContaining({ code: 'TERM_UNKNOWN', temporary: true }),
    )
    // What it waits for is asked for at once.
    await eventually(() => tries(() => kinds.start(ref, 12)))
    await reign(13, 'postgres')
    expect(seqsOf(await log.appendIn(13, fast(ref), newBatch()))).toEqual([head + LEAP + 1])
    kinds.close()
  })

  it('leap from where a Redis that has lost a flow was let begin anew', async () => {
    const ref = someFlow()
    await reign(20, 'redis')
    const kinds = new Kinds(database)
    await kinds.start(ref, 20)
    kinds.counted(ref, 1000, 20)
    await database.scoped('all', (tx) => kinds.report(tx, 20))
    kinds.close()
    const late = new Kinds(database)
    expect(await late.start(ref, 20)).toEqual({ base: 1000, known: 0, begins: '' })
    await late.again(ref, 20)
    const base = 1000 + LEAP
    expect(late.start(ref, 20)).toEqual({ base, known: 0, begins: 'again' })
    late.counted(ref, base + LEAP / 2, 20)
    expect(late.start(ref, 20)).toEqual({ base, known: base + LEAP / 2, begins: '' })
    late.close()
    await reign(21, 'postgres')
    expect(seqsOf(await log.appendIn(21, fast(ref), newBatch()))[0]).toBeGreaterThan(base + LEAP / 2)
  })

  it('are not taken for reported in a reign that is over', async () => {
    const ref = someFlow()
    await reign(22, 'redis')
    let done = 0
    const kinds = new Kinds({
      scoped: async (tenants, run) => {
        const answer = await database.scoped(tenants, run)
        done += 1
        return answer
      },
    })
    await kinds.start(ref, 22)
    await reign(23, 'postgres')
    kinds.counted(ref, LEAP / 2 + 1, 22)
    const refused = () =>
      expect(() => kinds.start(ref, 22)).toThrow(expect.objectContaining({ code: 'TERM_UNKNOWN' }))
    refused()
    // Its report was asked for at once; PostgreSQL answers it, and has not taken it.
    await eventually(() => done === 2, { what: 'the report' })
    refused()
    expect(seqsOf(await log.appendIn(23, fast(ref), newBatch()))).toEqual([LEAP + 1])
    kinds.close()
  })

  it('are reported also where more came while a report was under way', async () => {
    const ref = someFlow()
    await reign(13, 'redis')
    const kinds = new Kinds(database)
    await kinds.start(ref, 13)
    const [outside, watcher] = [await openOutside(fresh.adminUrl), await openOutside(fresh.adminUrl)]
    const release = await holdFlow(outside, ref.tenant, ref.flow)
    kinds.counted(ref, 7, 13)
    await eventually(() => somebodyWaits(watcher), { what: 'the report waits' })
    kinds.counted(ref, 9, 13)
    await release()
    await eventually(async () => (await log.read(ref, { order: 'asc', limit: 1 })).position.head === 9)
    kinds.close()
    await Promise.all([outside.close(), watcher.close()])
  })

  it('stay within that bound for as long as PostgreSQL is away', async () => {
    const ref = someFlow()
    await reign(14, 'redis')
    const own = new ServerDatabase({ url: fresh.url, listenUrl: null, poolSize: 1 })
    const kinds = new Kinds(own)
    await kinds.start(ref, 14)
    await own.close()
    kinds.counted(ref, LEAP, 14)
    for (let i = 0; i < 5; i++) {
      expect(() => kinds.start(ref, 14)).toThrow(expect.objectContaining({ code: 'TERM_UNKNOWN' }))
      await new Promise((resolve) => setImmediate(resolve))
    }
    kinds.close()
  })

  it('are kept to the retention by events, not by numbers: a leap is nothing that was trimmed', async () => {
    const ref = someFlow()
    await reign(16, 'postgres')
    await log.appendIn(16, Array.from({ length: 8 }, () => fast(ref)).flat(), newBatch())
    await reign(17, 'redis')
    const kinds = new Kinds(database)
    await kinds.start(ref, 17)
    kinds.counted(ref, 20, 17)
    await database.scoped('all', (tx) => kinds.report(tx, 17))
    kinds.close()
    await reign(18, 'postgres')
    await log.appendIn(18, Array.from({ length: 5 }, () => fast(ref)).flat(), newBatch())
    const first = 20 + LEAP + 1
    expect(await log.trim([ref], keep({ maxEvents: 6 }))).toEqual([{ floor: 0, events: 0, more: false }])
    await log.appendIn(18, Array.from({ length: 5 }, () => fast(ref)).flat(), newBatch())
    expect(await log.trim([ref], keep({ maxEvents: 6 }))).toEqual([
      { floor: first + 3, events: 12, more: false },
    ])
    const { events } = await log.read(ref, { order: 'asc', limit: 100 })
    expect(events.map(({ seq }) => seq - first)).toEqual([4, 5, 6, 7, 8, 9])
  })

  it('are not given by who waited for the flow until the next reign had begun with it', async () => {
    const ref = someFlow()
    await reign(30, 'redis')
    await baseOf(ref, 30)
    // The row of the term as it was read before the wait.
    await reign(29, 'postgres')
    await expect(log.appendIn(29, fast(ref), newBatch())).rejects.toMatchObject({ code: 'TERM_UNKNOWN' })
    await reign(31, 'postgres')
    expect(seqsOf(await log.appendIn(31, fast(ref), newBatch()))).toEqual([LEAP + 1])
  })

  it('are not foreseen by who comes a reign too late', async () => {
    const ref = someFlow()
    await reign(8, 'redis')
    await baseOf(ref, 8)
    await reign(10, 'postgres')
    expect(seqsOf(await log.appendIn(10, fast(ref), newBatch()))).toEqual([LEAP + 1])
    for (const late of [ref, someFlow()])
      await expect(baseOf(late, 9)).rejects.toMatchObject({ code: 'TERM_UNKNOWN', temporary: true })
    expect(seqsOf(await log.appendIn(10, fast(ref), newBatch()))).toEqual([LEAP + 2])
  })
})
