import fc from 'fast-check'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { parseCursor, resume } from '../../src/events/cursor.js'
import { compareBytes } from '../../src/events/grouping.js'
import type { RetainedLog } from '../../src/events/log.js'
import type { Database } from '../../src/postgres/client.js'
import type { FlowRef } from '../../src/tenant.js'
import { draft, eventOf, keep, newBatch, numbered, readAll, seqsOf, someFlow } from './drafts.js'

export interface RetainedStore {
  readonly database: Database
  readonly log: RetainedLog
  close(): Promise<void>
}

/** What a log must do whose retention is work of its own, over one database. */
export function retainedConformance(name: string, open: () => Promise<RetainedStore>): void {
  describe(`the retention of the event log on ${name}`, () => {
    let store: RetainedStore
    let log: RetainedLog
    beforeAll(async () => {
      store = await open()
      log = store.log
    })
    afterAll(() => store?.close())

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

    it('keeps flows of both durabilities beside each other', async () => {
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
