import { SpillwayError } from '../errors.js'
import { compareBytes } from '../events/grouping.js'
import type { Database } from '../postgres/client.js'
import { sqlState } from '../postgres/errors.js'
import type { Reign } from '../term/term.js'
import { hasEntries, remaining, settled, untilReset } from './counters.js'
import {
  ALGORITHMS,
  type Algorithm,
  type Lease,
  type LeaseRenewal,
  type Limit,
  type LimitPage,
  type LimitQuery,
  type LimitReport,
  type LimitStore,
  LONGEST_MS,
  type Outcome,
  type Take,
} from './limits.js'

/** Of what spillway.take answers: one element a take, and one a limit of a take. */
interface Answer {
  readonly allowed: readonly boolean[]
  readonly room: readonly boolean[]
  readonly a: readonly number[]
  readonly b: readonly number[]
  readonly age: readonly number[]
}

interface ListedRow {
  readonly name: string
  readonly algorithm: Algorithm
  readonly most: number
  readonly per_ms: number
  readonly a: number
  readonly b: number
  readonly age: number
  readonly entries: number
  readonly left_ms: number
}

/** Limits on PostgreSQL: a row each, many takes a statement. */
export class PostgresLimits implements LimitStore {
  readonly #db: Database

  constructor(db: Database) {
    this.#db = db
  }

  async take(takes: readonly Take[], { number }: Reign): Promise<readonly Outcome[]> {
    const limits = distinct(takes)
    const places = new Map(limits.map(({ key }, i) => [key, i + 1]))
    const flat = takes.flatMap((take) => take.limits)
    const [row] = await this.#query<{ answer: Answer }>(
      'SELECT spillway.take($1, $2, $3, $4, $5, $6, $7, $8, $9, $10) AS answer',
      [
        number,
        limits.map(({ tenant }) => tenant),
        limits.map(({ name }) => name),
        limits.map(({ algorithm }) => algorithm),
        takes.map((take) => take.limits.length),
        takes.map(({ id }) => id),
        flat.map(({ key }) => places.get(key)),
        flat.map(({ max }) => max),
        flat.map(({ perMs }) => perMs),
        flat.map(({ cost }) => cost),
      ],
    )
    if (!row) throw new SpillwayError('INTERNAL', 'spillway.take returned no row')
    const { allowed, room, a, b, age } = row.answer
    let at = 0
    return takes.map((take, i) => ({
      allowed: allowed[i] === true,
      told: take.limits.map(() => {
        const told = { room: room[at] === true, a: a[at] ?? 0, b: b[at] ?? 0, age: age[at] ?? 0 }
        at += 1
        return told
      }),
    }))
  }

  async release(leases: readonly Lease[], { number }: Reign): Promise<number> {
    const flat = leases.flatMap(({ id, tenant, names }) => names.map((name) => ({ id, tenant, name })))
    const [row] = await this.#db.scoped([...new Set(leases.map(({ tenant }) => tenant))], (tx) =>
      tx.query<{ reigns: boolean; ended: number }>(
        `WITH reign AS MATERIALIZED (SELECT spillway.reigns($1, 'postgres') AS yes), ended AS (
           DELETE FROM spillway.limit_entries e
           USING reign r, unnest($2::text[], $3::text[], $4::text[]) AS i (tenant, name, id)
           WHERE r.yes AND e.tenant = i.tenant AND e.name = i.name AND e.algorithm = 'concurrency' AND e.id = i.id
           RETURNING e.id
         )
         SELECT r.yes AS reigns, (SELECT count(DISTINCT e.id) FROM ended e)::integer AS ended FROM reign r`,
        [number, flat.map(({ tenant }) => tenant), flat.map(({ name }) => name), flat.map(({ id }) => id)],
      ),
    )
    if (!row?.reigns) throw refused()
    return row.ended
  }

  async renew(
    { id, tenant, limits }: LeaseRenewal,
    { number }: Reign,
  ): Promise<readonly number[] | undefined> {
    const [row] = await this.#query<{ costs: readonly number[] | null }>(
      'SELECT spillway.renew_limit_lease($1, $2, $3, $4, $5) AS costs',
      [number, tenant, limits.map(({ name }) => name), limits.map(({ perMs }) => perMs), id],
    )
    return row?.costs ?? undefined
  }

  reset(tenant: string, name: string, { number }: Reign): Promise<boolean> {
    return this.#forget(tenant, name, number)
  }

  /**
   * Forgets a limit though another store reigns, and that any instance was told of it before: at the next turn it
   * must not come back.
   */
  forget(tenant: string, name: string): Promise<boolean> {
    return this.#forget(tenant, name, null)
  }

  async #forget(tenant: string, name: string, reign: number | null): Promise<boolean> {
    const [row] = await this.#db.scoped([tenant], (tx) =>
      tx.query<{ there: boolean; reigns: boolean }>(
        `WITH now AS (
           SELECT spillway.now_ms() AS ms WHERE $3::integer IS NULL OR spillway.reigns($3, 'postgres')
         ), entries AS (
           DELETE FROM spillway.limit_entries e USING now WHERE e.tenant = $1 AND e.name = $2 RETURNING e.ends_ms > now.ms AS live
         ), rows AS (
           INSERT INTO spillway.limits AS l (tenant, name, algorithm, most, per_ms, reset_ms, ends_ms, touched_ms)
           SELECT $1, $2, x.algorithm, 1, 1, now.ms, now.ms + $5, now.ms FROM now, unnest($4::text[]) AS x (algorithm)
           ON CONFLICT (tenant, name, algorithm) DO UPDATE SET a = 0, b = 0, at_ms = 0, reset_ms = excluded.reset_ms,
             ends_ms = greatest(l.ends_ms, excluded.ends_ms), touched_ms = excluded.touched_ms
         )
         SELECT EXISTS (SELECT FROM now) AS reigns, EXISTS (SELECT FROM entries WHERE live) OR EXISTS (
           SELECT FROM spillway.limits l, now WHERE l.tenant = $1 AND l.name = $2 AND l.ends_ms > now.ms AND l.a + l.b > 0
         ) AS there`,
        [tenant, name, reign, [...ALGORITHMS].sort(), LONGEST_MS],
      ),
    )
    if (!row?.reigns) throw refused()
    return row.there
  }

  async list(tenant: string, { name, after, limit }: LimitQuery): Promise<LimitPage> {
    const rows = await this.#db.scoped([tenant], (tx) =>
      tx.query<ListedRow>(
        `SELECT l.name, l.algorithm, l.most, l.per_ms, l.a, l.b, greatest(now.ms - l.at_ms, 0) AS age,
           e.entries::float8 AS entries, e.left_ms::float8 AS left_ms
         FROM (SELECT spillway.now_ms() AS ms) now, spillway.limits l
         CROSS JOIN LATERAL (
           SELECT coalesce(sum(x.cost), 0) AS entries, coalesce(max(x.ends_ms) - now.ms, 0) AS left_ms
           FROM spillway.limit_entries x
           WHERE x.tenant = l.tenant AND x.name = l.name AND x.algorithm = l.algorithm AND x.ends_ms > now.ms
         ) e
         WHERE l.tenant = $1 AND ($2::text IS NULL OR l.name = $2) AND l.ends_ms > now.ms AND l.a + l.b + e.entries > 0
           AND ($3::text IS NULL OR (l.name, l.algorithm) > ($3, $4))
         ORDER BY l.name, l.algorithm LIMIT $5`,
        [tenant, name ?? null, ...placeOf(after), limit],
      ),
    )
    const last = rows.length === limit ? rows.at(-1) : undefined
    return { limits: rows.map(reportOf), next: last ? `${last.algorithm} ${last.name}` : null }
  }

  async #query<R extends object>(text: string, values: readonly unknown[]): Promise<R[]> {
    try {
      return await this.#db.query<R>(text, values)
    } catch (error) {
      if (sqlState(error) === '55000') throw refused(error)
      // Rows that wait for each other, or for somebody who holds them for long: nothing was counted.
      if (error instanceof SpillwayError && error.code === 'FLOW_BUSY') {
        throw new SpillwayError('STORE_UNAVAILABLE', 'Another transaction holds a limit', { cause: error })
      }
      throw error
    }
  }
}

/** The limits of some takes, each once, in the order in which their rows are locked. */
function distinct(takes: readonly Take[]): Limit[] {
  const limits = new Map<string, Limit>()
  for (const take of takes) for (const limit of take.limits) limits.set(limit.key, limit)
  return [...limits.values()].sort(
    (x, y) =>
      compareBytes(x.tenant, y.tenant) ||
      compareBytes(x.name, y.name) ||
      compareBytes(x.algorithm, y.algorithm),
  )
}

/** Where a page ended; anything else begins anew. */
function placeOf(after: string | undefined): [string | null, string | null] {
  const space = after?.indexOf(' ') ?? -1
  if (after === undefined || space < 0) return [null, null]
  return [after.slice(space + 1), after.slice(0, space)]
}

function reportOf({ name, algorithm, most, per_ms, a, b, age, entries, left_ms }: ListedRow): LimitReport {
  const shared = { name, algorithm, max: most, perMs: per_ms }
  if (hasEntries(algorithm)) return { ...shared, used: entries, resetMs: left_ms }
  const numbers = { algorithm, max: most, perMs: per_ms, cost: 0 }
  const counter = settled({ a, b, age }, numbers)
  return { ...shared, used: most - remaining(counter, numbers), resetMs: untilReset(counter, numbers) }
}

function refused(cause?: unknown): SpillwayError {
  return new SpillwayError('TERM_UNKNOWN', 'PostgreSQL does not reign in this term any more', {
    cause,
    retryAfterMs: 500,
  })
}
