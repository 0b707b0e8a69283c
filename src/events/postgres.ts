import { SpillwayError } from '../errors.js'
import type { Database } from '../postgres/client.js'
import { sqlState } from '../postgres/errors.js'
import { TextArray } from '../postgres/text-array.js'
import type { FlowRef } from '../tenant.js'
import { FlowIds } from './flow-ids.js'
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
  Trimmed,
} from './log.js'
import { forgetFlows, trimFlows, trimOldest } from './postgres-retention.js'

/** What spillway.append answers; its migration describes it. */
interface Answer {
  readonly at: Date
  /** Null if all that were given are right. */
  readonly ids: readonly (number | string)[] | null
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
  readonly born: number
}

interface EventRow extends PositionRow {
  readonly seq: number | null
  readonly event_term: number
  readonly type: string
  readonly source: string
  readonly payload: string
  readonly at: number
}

/** Payload bytes of one read, unless a single event is larger. */
const PAGE_BYTES = 4 * 1024 * 1024
/** Payload bytes of one look at many flows, beside one event of each. */
const LOOK_BYTES = 16 * 1024 * 1024

export class PostgresLog implements RetainedLog {
  readonly #db: Database
  readonly #ids = new FlowIds()

  constructor(db: Database) {
    this.#db = db
  }

  append(drafts: readonly Draft[], batch: Batch): Promise<readonly Outcome[]> {
    return this.#append(null, drafts, batch)
  }

  /** As `append`, for fast flows, numbered under a reign. Errors: also `TERM_UNKNOWN` if it is over. */
  appendIn(reign: number, drafts: readonly Draft[], batch: Batch): Promise<readonly Outcome[]> {
    return this.#append(reign, drafts, batch)
  }

  async #append(reign: number | null, drafts: readonly Draft[], batch: Batch): Promise<readonly Outcome[]> {
    const { flows, counts, wanted, flowAt, rank } = groupDrafts(drafts)
    const rows = await this.#query<Answer>(
      'SELECT * FROM spillway.append($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15)',
      [
        batch.token,
        batch.repeat,
        flows.map((ref) => ref.tenant),
        flows.map((ref) => ref.flow),
        this.#ids.known(flows),
        counts,
        unlessEmpty(wanted),
        flowAt,
        rank,
        drafts.map((draft) => draft.type),
        drafts.map((draft) => draft.source),
        unlessEmpty(drafts.map((draft) => draft.key)),
        unlessEmpty(drafts.map((draft) => draft.durability)),
        new TextArray(drafts.map((draft) => draft.payload)),
        reign,
      ],
    )
    const answer = rows[0]
    if (!answer) throw new SpillwayError('INTERNAL', 'spillway.append returned no row')
    if (answer.ids) this.#ids.learn(flows, answer.ids)
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
         LEFT JOIN (spillway.flows f JOIN spillway.heads h ON h.flow_id = f.id) ON f.tenant = $1 AND f.flow = $2
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
         LEFT JOIN (spillway.flows f JOIN spillway.heads h ON h.flow_id = f.id)
           ON f.tenant = i.tenant AND f.flow = i.flow
         LEFT JOIN LATERAL (SELECT x.*, ${runningBytes('ASC')} FROM (
           SELECT * FROM spillway.events x
           WHERE x.flow_id = f.id AND x.tenant = i.tenant AND x.seq > i.after AND h.head > i.after
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

  async trim(refs: readonly FlowRef[], retention: Retention): Promise<readonly (Trimmed | undefined)[]> {
    return trimFlows(this.#db, refs, retention)
  }

  async forget(retention: Retention, flows: number): Promise<number> {
    return forgetFlows(this.#db, retention, flows)
  }

  async trimOldest(retention: Retention, flows: number): Promise<number> {
    return trimOldest(this.#db, retention, flows)
  }
}

/** The bytes of a page up to each event, and its place: a page ends by size as well as by count. */
function runningBytes(direction: 'ASC' | 'DESC'): string {
  const order = `OVER (ORDER BY x.seq ${direction} ROWS UNBOUNDED PRECEDING)`
  return `sum(octet_length(x.payload)) ${order} AS bytes, row_number() ${order.replace(' ROWS UNBOUNDED PRECEDING', '')} AS place`
}

const POSITION =
  'coalesce(h.term, l.term) AS term, coalesce(h.term_from, 1) AS term_from, coalesce(h.head, 0) AS head, coalesce(f.floor, 0) AS floor, coalesce(h.born, 0) AS born, h.durability'
const EVENT =
  'e.seq, e.term AS event_term, e.type, e.source, e.payload, extract(epoch FROM e.at)::float8 * 1000 AS at'

function pageOf(rows: readonly EventRow[]): Page {
  const [row] = rows
  if (!row) throw new SpillwayError('INTERNAL', 'spillway.log_life has no row')
  const born = Number(row.born)
  const position = {
    term: row.term,
    termFrom: Number(row.term_from),
    head: Number(row.head),
    floor: Math.max(Number(row.floor), born),
    // Who comes from further back has seen a flow of this name that was forgotten.
    ...(born > 0 && { lost: born, origin: { term: 0, seq: born } }),
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

/** A column of which nothing is given needs not travel. */
function unlessEmpty<T>(values: readonly (T | null)[]): readonly (T | null)[] | null {
  return values.every((value) => value === null) ? null : values
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
    const message = `The flow's first publish made it ${odd.refused}: it cannot be published to as ${draft.durability ?? 'durable'} here`
    return { error: new SpillwayError('DURABILITY_FIXED', message) }
  }
  if ('term' in odd) return { event: odd, repeated: true, durability }
  return { event: { term, seq: odd.seq, type, source, payload, at }, repeated: false, durability }
}
