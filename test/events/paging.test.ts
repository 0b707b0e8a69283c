import fc from 'fast-check'
import { Client } from 'pg'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { type Cursor, formatId, type Gap, requireCursor } from '../../src/events/cursor.js'
import type { FlowEvent } from '../../src/events/event.js'
import { PostgresLog } from '../../src/events/postgres.js'
import { type Flow, Spillway } from '../../src/index.js'
import { freshDatabase } from '../support/database.js'

const range = (from: number, to: number) =>
  Array.from({ length: Math.max(0, to - from + 1) }, (_, i) => from + i)

describe('a reader that pages through a history', () => {
  let fresh: Awaited<ReturnType<typeof freshDatabase>>
  let admin: Client
  let spillway: Spillway
  let names = 0

  beforeAll(async () => {
    fresh = await freshDatabase()
    spillway = await Spillway.open({ postgres: fresh.url, config: { poolSize: 4 } })
    admin = new Client({ connectionString: fresh.adminUrl })
    await admin.connect()
  })
  afterAll(async () => {
    await admin.end()
    await spillway.close()
    await fresh.drop()
  })

  /** A flow of `first` events, of which a restored backup held `kept`; then `second` of a new term; the oldest trimmed. */
  async function flowOf(history: { first: number; kept: number; second: number; floor: number }) {
    const { first, kept, second, floor } = history
    const ref = { tenant: 'acme', flow: `f-${++names}` }
    const flow = spillway.tenant(ref.tenant).flow(ref.flow)
    const many = (count: number) => flow.publishMany(Array.from({ length: count }, () => ({ type: 'tick' })))
    const [event] = await many(first)
    const { term } = requireCursor(event?.id ?? '')
    const values = [ref.tenant, ref.flow, kept]
    await admin.query(
      'DELETE FROM spillway.events x USING spillway.flows f WHERE x.flow_id = f.id AND f.tenant = $1 AND f.flow = $2 AND x.seq > $3',
      values,
    )
    await admin.query('UPDATE spillway.heads SET head = $3 WHERE tenant = $1 AND flow = $2', values)
    await admin.query('UPDATE spillway.log_life SET term = term + 1')
    if (second > 0) await many(second)
    await new PostgresLog(spillway.database).trim([ref], {
      maxEvents: kept + second - floor,
      maxAgeMs: 3_600_000,
      flowAgeMs: 3_600_000,
    })
    return { flow, term }
  }

  /** Everything that paging from a cursor gives. */
  async function readAll(flow: Flow, cursor: Cursor): Promise<FlowEvent[]> {
    const all: FlowEvent[] = []
    for (let after = formatId(cursor.term, cursor.seq); ; ) {
      const page = await flow.history({ after, limit: 3 })
      all.push(...page)
      const last = page.at(-1)
      if (!last) return all
      after = last.id
    }
  }

  const history = fc
    .record({
      first: fc.integer({ min: 1, max: 6 }),
      kept: fc.nat(6),
      second: fc.nat(6),
      floor: fc.nat(12),
      later: fc.boolean(),
      seq: fc.integer({ min: 1, max: 13 }),
    })
    .map(({ first, kept, second, floor, ...rest }) => {
      const left = Math.min(first, kept)
      return { first, kept: left, second, floor: Math.min(floor, left + second), ...rest }
    })

  it('is told of exactly what it cannot have, and gets all the rest', { timeout: 300_000 }, async () => {
    const seen = { both: 0, none: 0 }
    const both = { first: 6, kept: 2, second: 6, floor: 5, later: false, seq: 4 }
    await fc.assert(
      fc.asyncProperty(history, async ({ later, seq, ...shape }) => {
        const { flow, term } = await flowOf(shape)
        const { kept, second, floor } = shape
        const head = kept + second
        const cursor = { term: later && second > 0 ? term + 1 : term, seq }
        // What the reader has and the log had too, under the same numbers.
        const common = Math.min(seq, cursor.term === term ? kept : head)
        const all = await readAll(flow, cursor)
        const gaps = all.filter(({ type }) => type === 'gap').map(({ payload }) => payload as Gap)
        const told = (...reasons: string[]) =>
          gaps
            .filter(({ reason }) => reasons.includes(reason))
            .flatMap(({ from, to }) => range(requireCursor(from).seq, requireCursor(to).seq))
        expect(told('lost', 'unknown')).toEqual(range(common + 1, seq))
        expect(told('trimmed')).toEqual(range(common + 1, floor))
        const events = all.filter(({ type }) => type !== 'gap')
        expect(events.map(({ id }) => requireCursor(id).seq)).toEqual(
          range(Math.max(common, floor) + 1, head),
        )
        if (gaps.length === 2) seen.both += 1
        if (gaps.length === 0) seen.none += 1
      }),
      { numRuns: 60, examples: [[both], [{ ...both, floor: 0, seq: 2 }]] },
    )
    expect(seen.both).toBeGreaterThan(0)
    expect(seen.none).toBeGreaterThan(0)
  })
})
