import { SpillwayError } from '../errors.js'
import type { Database } from '../postgres/client.js'
import { sqlState } from '../postgres/errors.js'
import type { FlowRef } from '../tenant.js'
import { groupDrafts } from './grouping.js'
import type {
  Batch,
  Draft,
  Durability,
  Outcome,
  Page,
  Range,
  RetainedLog,
  Retention,
  Since,
  StoredEvent,
} from './log.js'

/** What spillway.append answers; its migration describes it. */
interface Answer {
  readonly at: Date
  readonly terms: readonly number[]
  readonly firsts: readonly number[]
  readonly durabilities: string
  readonly odd: Readonly<Record<string, Odd>> | null
}

type Odd = { readonly refused: Durability } | { readonly seq: number } | StoredEvent

interface PositionRow {
  readonly durability: Durability | null
  readonly place: number
  readonly term: number
  readonly term_from: number
  readonly head: number
  readonly floor: number
}

interface EventRow extends PositionRow {
  readonly seq: number | null
  readonly event_term: number
  readonly type: string
  readonly source: string
  readonly payload: string
  readonly at: number
}

/** Rows of one trim at most: a longer one would hold its locks for long. */
const TRIM_ROWS = 5000
/** Payload bytes of one read, unless a single event is larger. */
const PAGE_BYTES = 4 * 1024 * 1024
/** Payload bytes of one look at many flows, beside one event of each. */
const LOOK_BYTES = 16 * 1024 * 1024
/** Far beyond the longest time that a publish is repeated. */
const RECEIPTS_KEPT = '10 minutes'

export class PostgresLog implements RetainedLog {
  readonly #db: Database

  constructor(db: Database) {
    this.#db = db
  }

  append(drafts: readonly Draft[], batch: Batch): Promise<readonly Outcome[]> {
    return this.#append(
      'spillway.append($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13)',
      [],
      drafts,
      batch,
    )
  }

  /** As `append`, for fast flows, numbered under a reign. Errors: also `TERM_UNKNOWN` if it is over. */
  appendIn(reign: number, drafts: readonly Draft[], batch: Batch): Promise<readonly Outcome[]> {
    const call = 'spillway.append_fast($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14)'
    return this.#append(call, [reign], drafts, batch)
  }

  async #append(
    call: string,
    before: readonly number[],
    drafts: readonly Draft[],
    batch: Batch,
  ): Promise<readonly Outcome[]> {
    const { flows, counts, wanted, flowAt, rank } = groupDrafts(drafts)
    const rows = await this.#query<Answer>(`SELECT * FROM ${call}`, [
      ...before,
      batch.token,
      batch.repeat,
      flows.map((ref) => ref.tenant),
      flows.map((ref) => ref.flow),
      counts,
      wanted,
      flowAt,
      rank,
      drafts.map((draft) => draft.type),
      drafts.map((draft) => draft.source),
      drafts.map((draft) => draft.key),
      drafts.map((draft) => draft.durability),
      drafts.map((draft) => draft.payload),
    ])
    const answer = rows[0]
    if (!answer) throw new SpillwayError('INTERNAL', 'spillway.append returned no row')
    return drafts.map((draft, i) => outcomeOf(draft, answer, i, flowAt[i] as number, rank[i] as number))
  }

  async #query<R extends object>(text: string, values: readonly unknown[]): Promise<R[]> {
    try {
      return await this.#db.query<R>(text, values)
    } catch (error) {
      if (sqlState(error) === '55000') {
        throw new SpillwayError('TERM_UNKNOWN', 'PostgreSQL refused the events: their term is over', {
          cause: error,
          retryAfterMs: 500,
        })
      }
      // The batch's receipt is there already: its first try has just committed. The next repeat reads it.
      if (sqlState(error) !== '23505') throw error
      throw new SpillwayError('STORE_UNAVAILABLE', 'The first try of this batch was still committing', {
        cause: error,
      })
    }
  }

  async read(ref: FlowRef, range: Range): Promise<Page> {
    const { after = 0, before = Number.MAX_SAFE_INTEGER, order, limit } = range
    const direction = order === 'asc' ? 'ASC' : 'DESC'
    const rows = await this.#db.scoped([ref.tenant], (tx) =>
      tx.query<EventRow>(
        `SELECT ${POSITION}, ${EVENT} FROM spillway.log_life l
         LEFT JOIN spillway.flows f ON f.tenant = $1 AND f.flow = $2
         LEFT JOIN LATERAL (SELECT x.*, ${runningBytes(direction)} FROM (
           SELECT * FROM spillway.events x
           WHERE x.flow_id = f.id AND x.tenant = $1 AND x.seq > $3 AND x.seq < $4
           ORDER BY x.seq ${direction} LIMIT $5
         ) x) e ON e.bytes <= ${PAGE_BYTES} OR e.place = 1
         ORDER BY e.seq ${direction}`,
        [ref.tenant, ref.flow, after, before, limit],
      ),
    )
    return pageOf(rows)
  }

  async readSince(flows: readonly Since[], limit: number): Promise<readonly Page[]> {
    if (flows.length === 0) return []
    const rows = await this.#db.scoped([...new Set(flows.map((since) => since.tenant))], (tx) =>
      tx.query<EventRow>(
        `SELECT i.place, ${POSITION}, ${EVENT}
         FROM unnest($1::text[], $2::text[], $3::bigint[]) WITH ORDINALITY AS i (tenant, flow, after, place)
         CROSS JOIN spillway.log_life l
         LEFT JOIN spillway.flows f ON f.tenant = i.tenant AND f.flow = i.flow
         LEFT JOIN LATERAL (SELECT x.*, ${runningBytes('ASC')} FROM (
           SELECT * FROM spillway.events x
           WHERE x.flow_id = f.id AND x.tenant = i.tenant AND x.seq > i.after AND f.head > i.after
           ORDER BY x.seq LIMIT $4
         ) x) e ON e.bytes <= $5 OR e.place = 1
         ORDER BY i.place, e.seq`,
        [
          flows.map((since) => since.tenant),
          flows.map((since) => since.flow),
          flows.map((since) => since.after),
          limit,
          Math.min(PAGE_BYTES, Math.floor(LOOK_BYTES / flows.length)),
        ],
      ),
    )
    const byPlace: EventRow[][] = flows.map(() => [])
    for (const row of rows) byPlace[row.place - 1]?.push(row)
    return byPlace.map(pageOf)
  }

  async trim(ref: FlowRef, retention: Retention): Promise<number> {
    return this.#db.scoped([ref.tenant], async (tx) => {
      // Somebody's open transaction that holds the flow must not hold up the trimming of all others. A trim that
      // a crash takes back is done again: it needs no wait for the disk.
      await tx.query(
        `SELECT set_config('lock_timeout', '250ms', true), set_config('synchronous_commit', 'off', true)`,
      )
      // The range is found without a lock on the head, so that publishing goes on beside the deletion.
      const [deleted] = await tx.query<{ count: number; last: number }>(
        `WITH gone AS (
           DELETE FROM spillway.events x USING (
             SELECT f.id, f.floor, greatest(f.head - $3::bigint, coalesce((
               SELECT max(o.seq) FROM (
                 SELECT seq, at FROM spillway.events WHERE flow_id = f.id AND seq > f.floor ORDER BY seq LIMIT ${TRIM_ROWS}
               ) o WHERE o.at < clock_timestamp() - $4 * interval '1 millisecond'), 0)) AS last
             FROM spillway.flows f WHERE f.tenant = $1 AND f.flow = $2
           ) t
           WHERE x.flow_id = t.id AND x.seq > t.floor AND x.seq <= least(t.last, t.floor + ${TRIM_ROWS})
           RETURNING x.seq
         )
         SELECT count(*)::integer AS count, coalesce(max(seq), 0) AS last FROM gone`,
        [ref.tenant, ref.flow, retention.maxEvents, retention.maxAgeMs],
      )
      const { count = 0, last = 0 } = deleted ?? {}
      // A statement of its own: the update must see the events of the publish that it may have waited for.
      await tx.query('SELECT FROM spillway.flows WHERE tenant = $1 AND flow = $2 FOR UPDATE', [
        ref.tenant,
        ref.flow,
      ])
      await tx.query(
        `UPDATE spillway.flows f SET floor = greatest(f.floor, $3), oldest_at = (
           SELECT x.at FROM spillway.events x WHERE x.flow_id = f.id ORDER BY x.seq LIMIT 1)
         WHERE f.tenant = $1 AND f.flow = $2`,
        [ref.tenant, ref.flow, last],
      )
      return count
    })
  }

  async forget(retention: Retention, flows: number): Promise<number> {
    const [row] = await this.#db.scoped('all', (tx) =>
      tx.query<{ forgotten: number }>(
        // A flow that comes to be again begins in a term that no cursor of its old life has.
        `WITH gone AS (
           DELETE FROM spillway.flows WHERE id IN (
             SELECT id FROM spillway.flows
             WHERE oldest_at IS NULL AND last_at < clock_timestamp() - $1 * interval '1 millisecond'
             ORDER BY tenant, flow LIMIT $2 FOR UPDATE SKIP LOCKED)
           RETURNING 1
         ), later AS (
           UPDATE spillway.log_life SET term = term + 1 WHERE EXISTS (SELECT FROM gone)
         )
         SELECT count(*)::integer AS forgotten FROM gone`,
        [retention.flowAgeMs, flows],
      ),
    )
    return row?.forgotten ?? 0
  }

  async trimOldest(retention: Retention, flows: number): Promise<number> {
    const due = await this.#db.scoped('all', (tx) =>
      tx.query<FlowRef>(
        `SELECT tenant, flow FROM spillway.flows
         WHERE oldest_at < clock_timestamp() - $1 * interval '1 millisecond' ORDER BY oldest_at LIMIT $2`,
        [retention.maxAgeMs, flows],
      ),
    )
    let trimmed = 0
    for (const ref of due) {
      try {
        trimmed += await this.trim(ref, retention)
      } catch (error) {
        if (!(error instanceof SpillwayError && error.code === 'FLOW_BUSY')) throw error
      }
    }
    await this.#db.query(
      `DELETE FROM spillway.receipts WHERE at < clock_timestamp() - interval '${RECEIPTS_KEPT}'`,
    )
    return trimmed
  }
}

/** The bytes of a page up to each event, and its place: a page ends by size as well as by count. */
function runningBytes(direction: 'ASC' | 'DESC'): string {
  const order = `OVER (ORDER BY x.seq ${direction} ROWS UNBOUNDED PRECEDING)`
  return `sum(octet_length(x.payload)) ${order} AS bytes, row_number() ${order.replace(' ROWS UNBOUNDED PRECEDING', '')} AS place`
}

const POSITION =
  'coalesce(f.term, l.term) AS term, coalesce(f.term_from, 1) AS term_from, coalesce(f.head, 0) AS head, coalesce(f.floor, 0) AS floor, f.durability'
const EVENT =
  'e.seq, e.term AS event_term, e.type, e.source, e.payload, extract(epoch FROM e.at)::float8 * 1000 AS at'

function pageOf(rows: readonly EventRow[]): Page {
  const [row] = rows
  if (!row) throw new SpillwayError('INTERNAL', 'spillway.log_life has no row')
  const position = {
    term: row.term,
    termFrom: Number(row.term_from),
    head: Number(row.head),
    floor: Number(row.floor),
  }
  return { position, durability: row.durability, events: eventsOf(rows) }
}

function eventsOf(rows: readonly EventRow[]): StoredEvent[] {
  return rows.flatMap((row) =>
    row.seq === null
      ? []
      : [
          {
            term: row.event_term,
            seq: Number(row.seq),
            type: row.type,
            source: row.source,
            payload: row.payload,
            at: Math.round(row.at),
          },
        ],
  )
}

function outcomeOf(draft: Draft, answer: Answer, index: number, flowAt: number, rank: number): Outcome {
  const term = answer.terms[flowAt - 1] as number
  const first = Number(answer.firsts[flowAt - 1])
  const durability = answer.durabilities[flowAt - 1] === 'f' ? 'fast' : 'durable'
  const at = answer.at.getTime()
  const { type, source, payload } = draft
  const odd = answer.odd?.[index + 1]
  if (!odd)
    return {
      event: { term, seq: first + rank - 1, type, source, payload, at },
      repeated: false,
      durability,
    }
  if ('refused' in odd) {
    const message = `The flow's first publish made it ${odd.refused}: it cannot be published to as ${draft.durability}`
    return { error: new SpillwayError('DURABILITY_FIXED', message) }
  }
  if ('term' in odd) return { event: odd, repeated: true, durability }
  return { event: { term, seq: odd.seq, type, source, payload, at }, repeated: false, durability }
}
