import type { Database } from '../postgres/client.js'
import type { Cursor } from './cursor.js'
import type { CursorBase } from './multi-cursor.js'

/** Keeps the places that long cursors refer to, for a day after the last use. Errors: `STORE_UNAVAILABLE` (temporary). */
export class CursorBases {
  readonly #db: Database

  constructor(db: Database) {
    this.#db = db
  }

  async store(tenant: string, places: readonly Cursor[]): Promise<CursorBase> {
    // Each one stored takes some old ones with it: their number stays bounded without a sweep.
    const rows = await this.#db.scoped([tenant], (tx) =>
      tx.query<{ id: number }>(
        `WITH gone AS (
           DELETE FROM spillway.stream_cursors WHERE id IN (
             SELECT id FROM spillway.stream_cursors
             WHERE tenant = $1 AND at < clock_timestamp() - interval '1 day' LIMIT 20)
         )
         INSERT INTO spillway.stream_cursors (tenant, places) VALUES ($1, $2) RETURNING id`,
        [tenant, JSON.stringify(places.map(({ term, seq }) => [term, seq]))],
      ),
    )
    return { id: Number(rows[0]?.id), places: [...places] }
  }

  /** The places, which are then kept for another day. */
  async load(tenant: string, id: number): Promise<readonly Cursor[] | undefined> {
    const [row] = await this.#db.scoped([tenant], (tx) =>
      tx.query<{ places: string }>(
        `UPDATE spillway.stream_cursors SET at = clock_timestamp() WHERE tenant = $1 AND id = $2
         RETURNING places`,
        [tenant, id],
      ),
    )
    return row && (JSON.parse(row.places) as [number, number][]).map(([term, seq]) => ({ term, seq }))
  }
}
