import type { Database } from '../postgres/client.js'
import type { Cursor } from './cursor.js'
import type { CursorBase } from './multi-cursor.js'

/** Bases that this process has stored lately, and for how long they serve others too: far less than a row lives. */
const SHARED = 256
const SHARED_MS = 3_600_000

/** Keeps the places that long cursors refer to, for a day after the last use. Errors: `STORE_UNAVAILABLE` (temporary). */
export class CursorBases {
  readonly #db: Database
  readonly #shared = new Map<string, { readonly base: Promise<CursorBase>; readonly until: number }>()

  constructor(db: Database) {
    this.#db = db
  }

  /** A base at these places. Readers that stand at the same places share one: opening stores nothing anew. */
  store(tenant: string, places: readonly Cursor[]): Promise<CursorBase> {
    const text = JSON.stringify(places.map(({ term, seq }) => [term, seq]))
    // A tenant's name holds no control character.
    const key = `${tenant}\n${text}`
    const now = performance.now()
    const shared = this.#shared.get(key)
    if (shared && shared.until > now) return shared.base
    this.#shared.delete(key)
    const base = this.#insert(tenant, text, [...places])
    this.#shared.set(key, { base, until: now + SHARED_MS })
    base.catch(() => this.#shared.delete(key))
    const [oldest] = this.#shared.keys()
    if (this.#shared.size > SHARED && oldest !== undefined) this.#shared.delete(oldest)
    return base
  }

  async #insert(tenant: string, text: string, places: readonly Cursor[]): Promise<CursorBase> {
    // Each one stored takes some old ones with it: their number stays bounded without a sweep.
    const rows = await this.#db.scoped([tenant], (tx) =>
      tx.query<{ id: number }>(
        `WITH gone AS (
           DELETE FROM spillway.stream_cursors WHERE id IN (
             SELECT id FROM spillway.stream_cursors
             WHERE tenant = $1 AND at < clock_timestamp() - interval '1 day' LIMIT 20)
         )
         INSERT INTO spillway.stream_cursors (tenant, places) VALUES ($1, $2) RETURNING id`,
        [tenant, text],
      ),
    )
    return { id: Number(rows[0]?.id), places }
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
