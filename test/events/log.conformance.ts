import fc from 'fast-check'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { parseCursor, resume } from '../../src/events/cursor.js'
import { compareBytes } from '../../src/events/grouping.js'
import type { EventLog, RetainedLog } from '../../src/events/log.js'
import { PostgresLog } from '../../src/events/postgres.js'
import type { Database } from '../../src/postgres/client.js'
import { migrate } from '../../src/postgres/migrate.js'
import type { FlowRef } from '../../src/tenant.js'
import { draft, eventOf, keep, newBatch, numbered, readAll, seqsOf, someFlow } from './drafts.js'

export interface LogStore {
  readonly database: Database
  close(): Promise<void>
}

/** What every store of the event log must do, over one database. */
export function logConformance(name: string, open: () => Promise<LogStore>): void {
  describe(`the event log on ${name}`, () => {
    let store: LogStore
    let log: RetainedLog
    beforeAll(async () => {
      store = await open()
      await migrate(store.database)
      log = new PostgresLog(store.database)
    })
    afterAll(() => store.close())

    it('numbers the events of a flow 1, 2, 3 … in the order of the drafts', async () => {
      const ref = someFlow()
      expect(seqsOf(await log.append(numbered(ref, 5), newBatch()))).toEqual([1, 2, 3, 4, 5])
      expect(seqsOf(await log.append(numbered(ref, 3, 6), newBatch()))).toEqual([6, 7, 8])
      const { events, position } = await log.read(ref, { order: 'asc', limit: 100 })
      expect(events.map((event) => [event.seq, event.payload])).toEqual(
        [1, 2, 3, 4, 5, 6, 7, 8].map((n) => [n, String(n)]),
      )
      expect(position).toEqual({ term: 1, termFrom: 1, head: 8, floor: 0 })
    })

    it('numbers many flows of many tenants in one batch, each on its own, old and new ones mixed', async () => {
      const refs = Array.from({ length: 60 }, (_, i) => someFlow(`tenant-${i % 7}`))
      await log.append(
        refs.filter((_, i) => i % 3 === 0).map((ref) => draft(ref)),
        newBatch(),
      )
      const drafts = Array.from({ length: 300 }, (_, i) =>
        draft(refs[(i * 17) % refs.length] as FlowRef, { payload: String(i) }),
      )
      const outcomes = await log.append(drafts, newBatch())
      const next = new Map(refs.map((ref, i) => [ref.flow, i % 3 === 0 ? 2 : 1]))
      drafts.forEach(({ flow, payload }, i) => {
        const event = eventOf(outcomes[i])
        expect([event.seq, event.payload]).toEqual([next.get(flow), payload])
        next.set(flow, event.seq + 1)
      })
      for (const ref of refs) {
        const all = await readAll(log, ref)
        expect(all.map((event) => event.seq)).toEqual(all.map((_, i) => i + 1))
        expect(all.length).toBe((next.get(ref.flow) as number) - 1)
      }
    })

    it('keeps names apart, whatever they are made of', async () => {
      const odd = [
        `'; DROP TABLE spillway.events; --`,
        `"{a,b}"`,
        '{}',
        'NULL',
        'null',
        ' ',
        'a\\"b\\\\c',
        `\\'`,
        `E'\\''`,
        '$1',
        '%s%I',
        'ü'.repeat(60),
        'x'.repeat(128),
        '😀',
        '\u{10ffff}',
        '\uffff',
        '\ue000',
        '\ud7ff',
        'A',
        'a',
        'ä',
        'a\u0308',
        ':',
        '*',
        '{a}',
        '__proto__',
        'constructor',
      ]
      const refs = [
        ...odd.map((name) => ({ tenant: name, flow: name })),
        ...odd.map((name) => ({ tenant: 'acme', flow: `${name}!` })),
        { tenant: 'a', flow: 'b:c' },
        { tenant: 'a:b', flow: 'c' },
      ]
      const drafts = refs.map((ref, i) => draft(ref, { payload: String(i), type: 'type', source: ref.flow }))
      expect(seqsOf(await log.append(drafts, newBatch()))).toEqual(refs.map(() => 1))
      // The other way round, so that the caller's order is never the store's.
      expect(seqsOf(await log.append([...drafts].reverse(), newBatch()))).toEqual(refs.map(() => 2))
      const pages = await log.readSince(
        refs.map((ref) => ({ ...ref, after: 0 })),
        10,
      )
      pages.forEach((page, i) => {
        expect(page.events.map((event) => [event.payload, event.source])).toEqual(
          [1, 2].map(() => [String(i), refs[i]?.flow]),
        )
      })
    })

    it('sorts names as the database does', async () => {
      const name = fc.string({ unit: 'binary', minLength: 1, maxLength: 4 })
      await fc.assert(
        fc.asyncProperty(
          fc.array(
            name.filter((text) => !text.includes('\0')),
            { minLength: 2, maxLength: 40 },
          ),
          async (names) => {
            const rows = await store.database.query<{ name: string }>(
              'SELECT name FROM unnest($1::text[]) AS n (name) ORDER BY name COLLATE "C"',
              [names],
            )
            expect([...names].sort(compareBytes)).toEqual(rows.map((row) => row.name))
          },
        ),
        { numRuns: 30 },
      )
    })

    describe('the same key in the same flow', () => {
      it('answers the first event, within a batch and across batches', async () => {
        const ref = someFlow()
        const outcomes = await log.append(
          [
            draft(ref, { key: 'k', payload: '"first"', type: 'first' }),
            draft(ref, { payload: '"between"' }),
            draft(ref, { key: 'k', payload: '"second"' }),
          ],
          newBatch(),
        )
        expect(seqsOf(outcomes)).toEqual([1, 2, 1])
        expect(outcomes.map((outcome) => 'repeated' in outcome && outcome.repeated)).toEqual([
          false,
          false,
          true,
        ])
        const [again, fresh] = await log.append(
          [draft(ref, { key: 'k', payload: '"third"' }), draft(ref, { payload: '"new"' })],
          newBatch(),
        )
        expect(again).toMatchObject({ repeated: true, event: eventOf(outcomes[0]) })
        expect(eventOf(fresh).seq).toBe(3)
        const all = await readAll(log, ref)
        expect(all.map((event) => [event.seq, event.payload])).toEqual([
          [1, '"first"'],
          [2, '"between"'],
          [3, '"new"'],
        ])
      })

      it('is another event in another flow and of another tenant', async () => {
        const refs = [someFlow(), someFlow(), someFlow('other')]
        const outcomes = await log.append(
          refs.map((ref) => draft(ref, { key: 'k' })),
          newBatch(),
        )
        expect(outcomes.map((outcome) => 'repeated' in outcome && outcome.repeated)).toEqual([
          false,
          false,
          false,
        ])
      })

      it('answers one event to appends that run at the same moment', async () => {
        const ref = someFlow()
        const batches = Array.from({ length: 8 }, (_, i) =>
          retried(log, [
            draft(ref, { key: 'same', payload: String(i) }),
            draft(ref, { payload: `"own ${i}"` }),
          ]),
        )
        const outcomes = (await Promise.all(batches)).map((batch) => batch[0])
        expect(new Set(outcomes.map((outcome) => eventOf(outcome).payload)).size).toBe(1)
        for (const outcome of outcomes) expect(eventOf(outcome)).toEqual(eventOf(outcomes[0]))
        expect(
          outcomes.filter((outcome) => outcome && 'repeated' in outcome && !outcome.repeated),
        ).toHaveLength(1)
        const all = await readAll(log, ref)
        expect(all.map((event) => event.seq)).toEqual([1, 2, 3, 4, 5, 6, 7, 8, 9])
      })
    })

    describe('durability', () => {
      it('is fixed by the first event; the draft that asks for another is refused, no hole is left', async () => {
        const [fast, durable] = [someFlow(), someFlow()]
        await log.append(
          [draft(fast, { durability: 'fast' }), draft(durable, { durability: 'durable' })],
          newBatch(),
        )
        const outcomes = await log.append(
          [
            draft(fast, { payload: '2' }),
            draft(fast, { durability: 'durable' }),
            draft(durable, { durability: 'fast' }),
            draft(fast, { durability: 'fast', payload: '3' }),
            draft(durable, { payload: '2' }),
          ],
          newBatch(),
        )
        expect(outcomes.map((o) => ('error' in o ? o.error.code : [o.event.seq, o.durability]))).toEqual([
          [2, 'fast'],
          'DURABILITY_FIXED',
          'DURABILITY_FIXED',
          [3, 'fast'],
          [2, 'durable'],
        ])
        expect((await readAll(log, fast)).map((event) => event.payload)).toEqual(['{}', '2', '3'])
        expect((await log.read(durable, { order: 'asc', limit: 1 })).position.head).toBe(2)
        expect(seqsOf(await log.append([draft(fast)], newBatch()))).toEqual([4])
      })

      it('is judged for each draft of a key that was published several times at once', async () => {
        const ref = someFlow()
        await log.append([draft(ref)], newBatch())
        const refused = (over: object) => draft(ref, { durability: 'fast', ...over })
        const outcomes = await log.append(
          [
            refused({ key: 'a', payload: '"never"' }),
            draft(ref, { key: 'a', durability: 'durable', payload: '"a"' }),
            draft(ref, { key: 'b', payload: '"b"' }),
            refused({ key: 'b' }),
          ],
          newBatch(),
        )
        expect(outcomes.map((o) => ('error' in o ? o.error.code : [o.event.seq, o.event.payload]))).toEqual([
          'DURABILITY_FIXED',
          [2, '"a"'],
          [3, '"b"'],
          'DURABILITY_FIXED',
        ])
      })
    })

    it('stores a batch that is repeated under its token once, and answers the same', async () => {
      const ref = someFlow()
      await log.append([draft(ref, { key: 'old', payload: '"old"' })], newBatch())
      const drafts = [
        ...numbered(ref, 3),
        draft(ref, { key: 'old' }),
        draft(ref, { durability: 'fast' }),
        draft(someFlow(), { key: 'new' }),
      ]
      const batch = newBatch()
      const first = await log.append(drafts, batch)
      for (let i = 0; i < 2; i++) {
        const again = await log.append(drafts, { ...batch, repeat: true })
        expect(again.map((o) => ('error' in o ? o.error.code : o))).toEqual(
          first.map((o) => ('error' in o ? o.error.code : o)),
        )
      }
      expect((await readAll(log, ref)).map((event) => event.seq)).toEqual([1, 2, 3, 4])
    })

    it('keeps a payload byte for byte', async () => {
      const ref = someFlow()
      const payloads = [
        String.raw`"\u0000\ud800 \udfff \uD83D\uDE00 \/"`,
        '12345678901234567890.12345678901234567890e-300',
        '{"__proto__":{"a":1},"a":1,"a":2}',
        '{ "spaced" : [ 1 ,2 ] }',
        String.raw`"\\ \" ' %"`,
        JSON.stringify('\u2028\u2029\u007f😀\uffff'),
        JSON.stringify('x'.repeat(200_000)),
        '-0',
        'null',
      ]
      await log.append(
        payloads.map((payload) => draft(ref, { payload })),
        newBatch(),
      )
      expect((await readAll(log, ref)).map((event) => event.payload)).toEqual(payloads)
    })

    describe('reading', () => {
      it('keeps to the range, in both directions', async () => {
        const ref = someFlow()
        await log.append(numbered(ref, 20), newBatch())
        const bound = fc.option(fc.integer({ min: 0, max: 25 }), { nil: undefined })
        await fc.assert(
          fc.asyncProperty(
            bound,
            bound,
            fc.constantFrom('asc' as const, 'desc' as const),
            fc.integer({ min: 1, max: 25 }),
            async (after, before, order, limit) => {
              const range = {
                order,
                limit,
                ...(after !== undefined && { after }),
                ...(before !== undefined && { before }),
              }
              const { events, position } = await log.read(ref, range)
              const all = Array.from({ length: 20 }, (_, i) => i + 1)
              const within = all.filter((n) => n > (after ?? 0) && n < (before ?? 99))
              expect(events.map((event) => event.seq)).toEqual(
                (order === 'asc' ? within : within.reverse()).slice(0, limit),
              )
              expect(position.head).toBe(20)
            },
          ),
          { numRuns: 40 },
        )
      })

      it('answers an empty log for a flow that was never written', async () => {
        const page = await log.read(someFlow(), { order: 'asc', limit: 5 })
        expect(page).toEqual({
          position: { term: 1, termFrom: 1, head: 0, floor: 0 },
          durability: null,
          events: [],
        })
      })

      it('joins pages of any size to the same log', async () => {
        const ref = someFlow()
        for (let from = 1; from <= 60; from += 20) await log.append(numbered(ref, 20, from), newBatch())
        const whole = await readAll(log, ref)
        await fc.assert(
          fc.asyncProperty(fc.integer({ min: 1, max: 70 }), async (limit) => {
            expect(await readAll(log, ref, limit)).toEqual(whole)
            const backwards = []
            for (let before: number | undefined; ; ) {
              const { events } = await log.read(ref, { order: 'desc', limit, ...(before && { before }) })
              if (events.length === 0) break
              backwards.push(...events)
              before = events.at(-1)?.seq
            }
            expect(backwards.reverse()).toEqual(whole)
          }),
          { numRuns: 12 },
        )
      })

      it('ends a page by its bytes, and gives a large event alone', async () => {
        const ref = someFlow()
        const big = JSON.stringify('x'.repeat(1024 * 1024))
        const huge = JSON.stringify('y'.repeat(5 * 1024 * 1024))
        await log.append(
          [big, big, big, big, huge, '1'].map((payload) => draft(ref, { payload })),
          newBatch(),
        )
        const sizes = async (order: 'asc' | 'desc', after: number) =>
          (await log.read(ref, { order, after, limit: 100 })).events.map((event) => event.seq)
        expect(await sizes('asc', 0)).toEqual([1, 2, 3])
        expect(await sizes('asc', 3)).toEqual([4])
        expect(await sizes('asc', 4)).toEqual([5])
        expect(await sizes('asc', 5)).toEqual([6])
        expect(await sizes('desc', 0)).toEqual([6])
        expect((await readAll(log, ref)).map((event) => event.payload.length)).toEqual([
          ...Array(4).fill(big.length),
          huge.length,
          1,
        ])
        const [page] = await log.readSince([{ ...ref, after: 0 }], 100)
        expect(page?.events.map((event) => event.seq)).toEqual([1, 2, 3])
      })

      it('looks at many flows of many tenants in one go', async () => {
        const refs = Array.from({ length: 30 }, (_, i) => someFlow(`many-${i % 5}`))
        await log.append(
          refs.flatMap((ref, i) => numbered(ref, i)),
          newBatch(),
        )
        const looks = refs.map((ref, i) => ({
          ...ref,
          after: i % 4 === 3 ? Number.MAX_SAFE_INTEGER : i >> 1,
        }))
        const pages = await log.readSince(looks, 7)
        expect(pages).toHaveLength(30)
        pages.forEach(({ position, events }, i) => {
          const { after } = looks[i] as { after: number }
          const all = Array.from({ length: i }, (_, n) => n + 1)
          expect(position.head).toBe(i)
          expect(events.map((event) => event.seq)).toEqual(all.filter((n) => n > after).slice(0, 7))
        })
        expect(await log.readSince([], 7)).toEqual([])
      })
    })

    describe('trimming', () => {
      it('keeps the newest so many', async () => {
        const ref = someFlow()
        await log.append(numbered(ref, 30), newBatch())
        expect(await log.trim([ref], keep({ maxEvents: 40 }))).toEqual([{ floor: 0, events: 0, more: false }])
        expect(await log.trim([ref], keep({ maxEvents: 12 }))).toEqual([
          { floor: 18, events: 18, more: false },
        ])
        const { events, position } = await log.read(ref, { order: 'asc', limit: 100 })
        expect(position).toEqual({ term: 1, termFrom: 1, head: 30, floor: 18 })
        expect(events.map((event) => event.seq)).toEqual(Array.from({ length: 12 }, (_, i) => i + 19))
        expect(await log.trim([ref], keep({ maxEvents: 12 }))).toEqual([
          { floor: 18, events: 0, more: false },
        ])
        expect(resume(position, parseCursor('1-3') ?? { term: 0, seq: 0 })).toMatchObject({
          after: 18,
          gap: { from: '1-4', to: '1-18', reason: 'trimmed' },
        })
      })

      it('trims many flows of many tenants at once, each to its own floor, and passes over what is not there', async () => {
        const refs = Array.from({ length: 12 }, (_, i) => someFlow(`trimmed-${i % 3}`))
        await log.append(
          refs.flatMap((ref, i) => numbered(ref, i + 1)),
          newBatch(),
        )
        const missing = someFlow()
        const wanted = [...refs.slice(0, 6), missing, ...refs.slice(6)]
        const floors = refs.map((_, i) => Math.max(0, i + 1 - 4))
        const trimmed = floors.map((floor) => ({ floor, events: floor, more: false }))
        expect(await log.trim(wanted, keep({ maxEvents: 4 }))).toEqual([
          ...trimmed.slice(0, 6),
          { floor: 0, events: 0, more: false },
          ...trimmed.slice(6),
        ])
        for (const [i, ref] of refs.entries()) {
          const { position, events } = await log.read(ref, { order: 'asc', limit: 100 })
          expect(position).toMatchObject({ head: i + 1, floor: floors[i] })
          expect(events[0]?.seq).toBe((floors[i] as number) + 1)
        }
        expect(await log.trim([], keep({ maxEvents: 4 }))).toEqual([])
      })

      it('goes as far as one statement reaches, and says that there is more', async () => {
        const ref = someFlow()
        for (let i = 0; i < 11; i++) await log.append(numbered(ref, 1000), newBatch())
        const first = { floor: 10_000, events: 10_000, more: true }
        expect(await log.trim([ref], keep({ maxEvents: 3 }))).toEqual([first])
        const rest = { floor: 10_997, events: 997, more: false }
        expect(await log.trim([ref], keep({ maxEvents: 3 }))).toEqual([rest])
      })

      it('removes what is too old, of every tenant, the oldest first, and goes on numbering', async () => {
        const refs = [someFlow('old-1'), someFlow('old-2'), someFlow('old-3')]
        await log.append(
          refs.flatMap((ref) => numbered(ref, 3)),
          newBatch(),
        )
        await log.append([draft(refs[2] as FlowRef)], newBatch())
        await age(store.database, refs[0] as FlowRef, 3, 7200)
        await age(store.database, refs[1] as FlowRef, 2, 9000)
        await age(store.database, refs[2] as FlowRef, 3, 8000)
        const retention = keep({ maxAgeMs: 3_600_000 })
        expect(await log.trimOldest(retention, 1)).toBe(2)
        expect(await log.trimOldest(retention, 100)).toBe(6)
        expect(await log.trimOldest(retention, 100)).toBe(0)
        const positions = (
          await log.readSince(
            refs.map((ref) => ({ ...ref, after: 0 })),
            9,
          )
        ).map(({ position, events }) => [position.head, position.floor, events.length])
        expect(positions).toEqual([
          [3, 3, 0],
          [3, 2, 1],
          [4, 3, 1],
        ])
        expect(seqsOf(await log.append([draft(refs[0] as FlowRef)], newBatch()))).toEqual([4])
        const oldest = await store.database.scoped('all', (tx) =>
          tx.query<{ kept: boolean }>(
            `SELECT f.look_at >= clock_timestamp() - interval '1 minute' AS kept FROM spillway.flows f
             WHERE tenant LIKE 'old-%'`,
          ),
        )
        expect(oldest).toEqual([{ kept: true }, { kept: true }, { kept: true }])
      })
    })

    it('goes on numbering in a new life of the log, and says that the old tail is lost', async () => {
      const ref = someFlow()
      await log.append(numbered(ref, 5), newBatch())
      const life = (term: number) =>
        store.database.transaction((tx) => tx.query('UPDATE spillway.log_life SET term = $1', [term]))
      await life(2)
      try {
        const [outcome] = await log.append([draft(ref, { payload: '"new"' })], newBatch())
        expect(eventOf(outcome)).toMatchObject({ term: 2, seq: 6 })
        await log.append([draft(ref)], newBatch())
        const { position, events } = await log.read(ref, { order: 'asc', limit: 10 })
        expect(position).toEqual({ term: 2, termFrom: 6, head: 7, floor: 0 })
        expect(events.map((event) => [event.term, event.seq])).toEqual([
          ...[1, 2, 3, 4, 5].map((n) => [1, n]),
          [2, 6],
          [2, 7],
        ])
        expect(resume(position, { term: 1, seq: 8 })).toMatchObject({
          after: 5,
          gap: { from: '1-6', to: '1-8', reason: 'lost' },
        })
        expect(resume(position, { term: 1, seq: 5 })).toMatchObject({ after: 5, gap: undefined })
      } finally {
        await life(1)
      }
    })
  })
}

/** Appends as the appender does: a busy flow is tried again. */
async function retried(log: EventLog, drafts: Parameters<EventLog['append']>[0]) {
  for (;;) {
    try {
      return await log.append(drafts, newBatch())
    } catch (error) {
      if (!(error instanceof Error && 'code' in error && error.code === 'FLOW_BUSY')) throw error
    }
  }
}

/** Makes the first `count` events of a flow so many seconds older. */
async function age(db: Database, ref: FlowRef, count: number, seconds: number): Promise<void> {
  await db.scoped([ref.tenant], async (tx) => {
    await tx.query(
      `UPDATE spillway.events e SET at = e.at - $3 * interval '1 second' FROM spillway.flows f
       WHERE f.tenant = $1 AND f.flow = $2 AND e.flow_id = f.id AND e.seq <= $4`,
      [ref.tenant, ref.flow, seconds, count],
    )
    await tx.query(
      `UPDATE spillway.flows SET look_at = look_at - $3 * interval '1 second' WHERE tenant = $1 AND flow = $2`,
      [ref.tenant, ref.flow, seconds],
    )
  })
}
