import type { Database } from '../postgres/client.js'
import type { FlowRef } from '../tenant.js'
import {
  checkFlowQuery,
  type FlowActivity,
  type FlowMeta,
  type FlowQuery,
  type FlowState,
  type FlowStates,
  type FlowStatus,
  type FlowSummary,
  toStateRecord,
} from './states.js'

interface MetaRow {
  readonly status: FlowStatus
  readonly phase: string | null
  readonly progress: number | null
  readonly updated_at: Date
}

interface SummaryRow extends MetaRow {
  readonly flow: string
  readonly engagement: string | null
  readonly created_at: Date
  readonly active_at: Date
  readonly durability: 'durable' | 'fast' | null
  readonly last_event_id: string | null
}

export class PostgresStates implements FlowStates {
  readonly #db: Database

  constructor(db: Database) {
    this.#db = db
  }

  async set(ref: FlowRef, state: FlowState): Promise<FlowMeta> {
    const { text, status, phase, progress, engagement } = toStateRecord(state)
    const rows = await this.#db.scoped([ref.tenant], (tx) =>
      tx.query<MetaRow>(
        `INSERT INTO spillway.flow_states AS s (tenant, flow, state, status, phase, progress, engagement)
         VALUES ($1, $2, $3, $4, $5, $6, $7)
         ON CONFLICT (tenant, flow) DO UPDATE SET state = excluded.state, status = excluded.status,
           phase = excluded.phase, progress = excluded.progress, engagement = excluded.engagement,
           updated_at = clock_timestamp(), active_at = clock_timestamp()
         RETURNING status, phase, progress, updated_at`,
        [ref.tenant, ref.flow, text, status, phase, progress, engagement],
      ),
    )
    return toMeta(rows[0] as MetaRow)
  }

  async get(ref: FlowRef): Promise<FlowState | null> {
    const [row] = await this.#db.scoped([ref.tenant], (tx) =>
      tx.query<{ state: string | null }>(
        'SELECT state FROM spillway.flow_states WHERE tenant = $1 AND flow = $2',
        [ref.tenant, ref.flow],
      ),
    )
    return row?.state == null ? null : (JSON.parse(row.state) as FlowState)
  }

  async clear(ref: FlowRef): Promise<void> {
    await this.#db.scoped([ref.tenant], (tx) =>
      tx.query(
        `UPDATE spillway.flow_states SET state = NULL, status = 'pending', phase = NULL, progress = NULL,
           engagement = NULL, updated_at = clock_timestamp(), active_at = clock_timestamp()
         WHERE tenant = $1 AND flow = $2`,
        [ref.tenant, ref.flow],
      ),
    )
  }

  async meta(ref: FlowRef): Promise<FlowMeta | null> {
    const [row] = await this.#db.scoped([ref.tenant], (tx) =>
      tx.query<MetaRow>(
        `SELECT status, phase, progress, updated_at FROM spillway.flow_states
         WHERE tenant = $1 AND flow = $2 AND state IS NOT NULL`,
        [ref.tenant, ref.flow],
      ),
    )
    return row ? toMeta(row) : null
  }

  async forget(olderThanMs: number, flows: number): Promise<number> {
    const gone = await this.#db.scoped('all', (tx) =>
      tx.query(
        `DELETE FROM spillway.flow_states WHERE (tenant, flow) IN (
           SELECT s.tenant, s.flow FROM spillway.flow_states s
           WHERE s.updated_at < clock_timestamp() - $1 * interval '1 millisecond'
             AND NOT EXISTS (SELECT FROM spillway.flows f WHERE f.tenant = s.tenant AND f.flow = s.flow)
           ORDER BY s.updated_at LIMIT $2 FOR UPDATE SKIP LOCKED)
         RETURNING 1`,
        [olderThanMs, flows],
      ),
    )
    return gone.length
  }

  async active(flows: readonly FlowActivity[]): Promise<FlowRef[]> {
    if (flows.length === 0) return []
    return this.#db.scoped([...new Set(flows.map(({ tenant }) => tenant))], (tx) =>
      tx.query<FlowRef>(
        // SKIP LOCKED: two processes that write the same flows must not wait for each other in a circle, nor
        // for a user's open transaction.
        `WITH free AS (
           SELECT s.tenant, s.flow, i.at
           FROM unnest($1::text[], $2::text[], $3::float8[]) AS i (tenant, flow, at)
           JOIN spillway.flow_states s ON s.tenant = i.tenant AND s.flow = i.flow
           FOR UPDATE OF s SKIP LOCKED)
         UPDATE spillway.flow_states s SET active_at = greatest(s.active_at, to_timestamp(i.at / 1000))
         FROM free i WHERE s.tenant = i.tenant AND s.flow = i.flow
         RETURNING s.tenant, s.flow`,
        [flows.map(({ tenant }) => tenant), flows.map(({ flow }) => flow), flows.map(({ at }) => at)],
      ),
    )
  }

  async takeActiveBySql(flows: number): Promise<FlowActivity[]> {
    return this.#db.scoped('all', (tx) =>
      tx.query<FlowActivity>(
        // SKIP LOCKED: a user's open transaction publishes to that flow once more, and it is taken after that.
        `DELETE FROM spillway.sql_activity WHERE (tenant, flow) IN (
           SELECT tenant, flow FROM spillway.sql_activity LIMIT $1 FOR UPDATE SKIP LOCKED)
         RETURNING tenant, flow, (extract(epoch FROM at) * 1000)::float8 AS at`,
        [flows],
      ),
    )
  }

  async list(tenant: string, query: FlowQuery): Promise<FlowSummary[]> {
    const { engagement, status, limit } = checkFlowQuery(query)
    const rows = await this.#db.scoped([tenant], (tx) =>
      tx.query<SummaryRow>(
        `SELECT s.flow, s.status, s.phase, s.progress, s.engagement, s.created_at, s.updated_at, s.active_at,
           h.durability, h.term || '-' || h.head AS last_event_id
         FROM (
           SELECT * FROM spillway.flow_states
           WHERE tenant = $1 AND ($2::text IS NULL OR engagement = $2) AND ($3::text IS NULL OR status = $3)
           ORDER BY active_at DESC LIMIT $4
         ) s
         LEFT JOIN spillway.flows f ON f.tenant = s.tenant AND f.flow = s.flow
         LEFT JOIN spillway.heads h ON h.flow_id = f.id
         ORDER BY s.active_at DESC`,
        [tenant, engagement, status, limit],
      ),
    )
    return rows.map((row) => ({
      flow: row.flow,
      ...toMeta(row),
      engagement: row.engagement,
      durability: row.durability,
      last_event_id: row.last_event_id,
      created_at: row.created_at.toISOString(),
      active_at: row.active_at.toISOString(),
    }))
  }
}

function toMeta({ status, phase, progress, updated_at }: MetaRow): FlowMeta {
  return { status, phase, progress, updated_at: updated_at.toISOString() }
}
