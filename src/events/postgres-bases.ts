import type { Database } from '../postgres/client.js'
import type { BaseStore } from './cursor-bases.js'

export class PostgresBases implements BaseStore {
  readonly #db: Database

  constructor(db: Database) {
    this.#db = db
  }

  async insert(tenant: string, places: string): Promise<number> {
    // Each one stored takes some old ones with it: their number stays bounded without a sweep.
    const rows = await this.#db.scoped([tenant], (tx) =>
      tx.query<{ id: number }>(
        `WITH gone AS (
           DELETE FROM spillway.stream_cursors WHERE id IN (
             SELECT id FROM spillway.stream_cursors
             WHERE tenant = $1 AND at < clock_timestamp() - interval '1 day' LIMIT 20)
         )
         INSERT INTO spillway.stream_cursors (tenant, places) VALUES ($1, $2) RETURNING id`,
        [tenant, places],
      ),
    )
    return Number(rows[0]?.id)
  }

  async load(tenant: string, id: number): Promise<string | undefined> {
    const [row] = await this.#db.scoped([tenant], (tx) =>
      tx.query<{ places: string }>(
        `UPDATE spillway.stream_cursors SET at = clock_timestamp() WHERE tenant = $1 AND id = $2
         RETURNING places`,
        [tenant, id],
      ),
    )
    return row?.places
  }
}
