import type { Database } from '../postgres/client.js'

const EVERY_MS = 10_000
/** Rows looked at in one statement, and statements of one round. */
const PAGE = 1000
const PAGES = 50
/** A page with so many that are over is followed by the next at once, as long as there are such. */
const MANY = PAGE / 4
/** A row that is over may soon be used again. */
const AFTER_MS = 60_000

/** Removes what is over from PostgreSQL, a page after the other: no index is kept that every take would write. */
export class Sweep {
  readonly #db: Database
  #after: readonly [string, string, string] = ['', '', '']
  #timer: NodeJS.Timeout | undefined
  #working: Promise<void> | undefined
  #closed = false

  constructor(db: Database) {
    this.#db = db
  }

  start(): void {
    this.#timer = setInterval(() => {
      this.#working ??= this.round().finally(() => {
        this.#working = undefined
      })
    }, EVERY_MS)
    this.#timer.unref()
  }

  /** What fails is left to a later round. */
  async round(): Promise<void> {
    for (let page = 0; page < PAGES && !this.#closed; page++) {
      const removed = await this.page().catch(() => 0)
      if (removed < MANY) return
    }
  }

  /** The next page, and after the last one the first. Answers how many it removed. */
  async page(afterMs = AFTER_MS): Promise<number> {
    const [row] = await this.#db.scoped('all', (tx) =>
      tx.query<{ seen: number; removed: number; last: readonly [string, string, string] | null }>(
        `WITH page AS (
           SELECT l.tenant, l.name, l.algorithm, l.ends_ms FROM spillway.limits l
           WHERE (l.tenant, l.name, l.algorithm) > ($1, $2, $3)
           ORDER BY l.tenant, l.name, l.algorithm LIMIT ${PAGE}
         ), over AS (
           SELECT l.tenant, l.name, l.algorithm FROM spillway.limits l
           JOIN page p ON p.tenant = l.tenant AND p.name = l.name AND p.algorithm = l.algorithm
           WHERE l.ends_ms < spillway.now_ms() - $4::bigint FOR UPDATE OF l SKIP LOCKED
         ), gone AS (
           DELETE FROM spillway.limits l USING over o
           WHERE l.tenant = o.tenant AND l.name = o.name AND l.algorithm = o.algorithm RETURNING 1
         ), entries AS (
           DELETE FROM spillway.limit_entries e USING over o
           WHERE e.tenant = o.tenant AND e.name = o.name AND e.algorithm = o.algorithm
         )
         SELECT (SELECT count(*) FROM page)::integer AS seen, (SELECT count(*) FROM gone)::integer AS removed,
           (SELECT json_build_array(p.tenant, p.name, p.algorithm) FROM page p
            ORDER BY p.tenant DESC, p.name DESC, p.algorithm DESC LIMIT 1) AS last`,
        [...this.#after, afterMs],
      ),
    )
    this.#after = row?.seen === PAGE && row.last ? row.last : ['', '', '']
    return row?.removed ?? 0
  }

  async close(): Promise<void> {
    this.#closed = true
    clearInterval(this.#timer)
    await this.#working
  }
}
