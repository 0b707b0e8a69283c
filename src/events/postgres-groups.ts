import type { Database } from '../postgres/client.js'
import type { Cursor } from './cursor.js'
import {
  type Claim,
  DEAD_KEPT,
  type DeadEvent,
  type GroupRef,
  type Groups,
  placeOf,
  type Settlement,
} from './groups.js'

/** Groups in PostgreSQL, also of flows whose events are in Redis. */
export class PostgresGroups implements Groups {
  readonly #db: Database

  constructor(db: Database) {
    this.#db = db
  }

  async claim(ref: GroupRef, owner: string, leaseMs: number, start: Cursor): Promise<Claim | undefined> {
    const [row] = await this.#db.scoped([ref.tenant], (tx) =>
      tx.query<{ term: number; seq: number; attempts: number }>(
        `INSERT INTO spillway.flow_groups AS g (tenant, flow, name, term, seq, owner, until)
         VALUES ($1, $2, $3, $4, $5, $6, clock_timestamp() + $7 * interval '1 millisecond')
         ON CONFLICT (tenant, flow, name) DO UPDATE SET owner = excluded.owner, until = excluded.until,
           touched_at = clock_timestamp()
         WHERE g.owner IS NULL OR g.owner = excluded.owner OR g.until < clock_timestamp()
         RETURNING term, seq, attempts`,
        [ref.tenant, ref.flow, ref.group, start.term, start.seq, owner, leaseMs],
      ),
    )
    return row && { place: { term: row.term, seq: Number(row.seq) }, attempts: row.attempts }
  }

  async settle(ref: GroupRef, owner: string, leaseMs: number, outcome: Settlement): Promise<boolean> {
    const place = placeOf(outcome)
    const failed = 'failed' in outcome
    return this.#db.scoped([ref.tenant], async (tx) => {
      const rows = await tx.query(
        `UPDATE spillway.flow_groups SET term = $5, seq = $6, attempts = CASE WHEN $7 THEN attempts + 1 ELSE 0 END,
           until = clock_timestamp() + $8 * interval '1 millisecond', touched_at = clock_timestamp()
         WHERE tenant = $1 AND flow = $2 AND name = $3 AND owner = $4 RETURNING 1`,
        [ref.tenant, ref.flow, ref.group, owner, place.term, place.seq, failed, leaseMs],
      )
      if (rows.length === 0) return false
      if ('dead' in outcome) {
        const { event, attempts, error } = outcome
        await tx.query(
          `WITH old AS (
             DELETE FROM spillway.dead_events WHERE tenant = $1 AND flow = $2 AND name = $3 AND place <= (
               SELECT place FROM spillway.dead_events WHERE tenant = $1 AND flow = $2 AND name = $3
               ORDER BY place DESC OFFSET ${DEAD_KEPT - 1} LIMIT 1)
           )
           INSERT INTO spillway.dead_events (tenant, flow, name, id, type, source, payload, at, attempts, error)
           VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)`,
          [
            ...[ref.tenant, ref.flow, ref.group, event.id, event.type, event.source],
            ...[JSON.stringify(event.payload), event.timestamp, attempts, error],
          ],
        )
      }
      return true
    })
  }

  async renew(ref: GroupRef, owner: string, leaseMs: number): Promise<boolean> {
    const rows = await this.#db.scoped([ref.tenant], (tx) =>
      tx.query(
        `UPDATE spillway.flow_groups SET until = clock_timestamp() + $5 * interval '1 millisecond'
         WHERE tenant = $1 AND flow = $2 AND name = $3 AND owner = $4 RETURNING 1`,
        [ref.tenant, ref.flow, ref.group, owner, leaseMs],
      ),
    )
    return rows.length > 0
  }

  async release(ref: GroupRef, owner: string): Promise<void> {
    await this.#db.scoped([ref.tenant], (tx) =>
      tx.query(
        `UPDATE spillway.flow_groups SET owner = NULL, until = NULL
         WHERE tenant = $1 AND flow = $2 AND name = $3 AND owner = $4`,
        [ref.tenant, ref.flow, ref.group, owner],
      ),
    )
  }

  async dead(ref: GroupRef, limit: number): Promise<DeadEvent[]> {
    const rows = await this.#db.scoped([ref.tenant], (tx) =>
      tx.query<
        Omit<DeadEvent, 'payload' | 'timestamp' | 'died_at'> & { payload: string; at: Date; died_at: Date }
      >(
        `SELECT id, type, source, payload, at, attempts, error, died_at FROM spillway.dead_events
         WHERE tenant = $1 AND flow = $2 AND name = $3 ORDER BY place LIMIT $4`,
        [ref.tenant, ref.flow, ref.group, limit],
      ),
    )
    return rows.map(({ at, died_at, payload, ...rest }) => ({
      ...rest,
      payload: JSON.parse(payload) as unknown,
      timestamp: at.toISOString(),
      died_at: died_at.toISOString(),
    }))
  }

  /** Forgets groups that nobody has touched for so long, and what died so long ago; at most so many of each. */
  async forget(olderThanMs: number, most: number): Promise<number> {
    return this.#db.scoped('all', async (tx) => {
      let gone = 0
      for (const [table, column] of [
        ['flow_groups', 'touched_at'],
        ['dead_events', 'died_at'],
      ]) {
        const rows = await tx.query(
          `DELETE FROM spillway.${table} WHERE ctid IN (SELECT ctid FROM spillway.${table}
             WHERE ${column} < clock_timestamp() - $1 * interval '1 millisecond' ORDER BY ${column} LIMIT $2) RETURNING 1`,
          [olderThanMs, most],
        )
        gone += rows.length
      }
      return gone
    })
  }
}
