/** The same columns and indexes as spillway.events, without row-level security: what a bare INSERT writes. */
export const BARE_TABLE = `
  DROP TABLE IF EXISTS bare;
  CREATE TABLE bare (
    flow_id bigint NOT NULL,
    seq bigint NOT NULL,
    term integer NOT NULL,
    tenant text COLLATE "C" NOT NULL,
    type text COLLATE "C" NOT NULL,
    source text COLLATE "C" NOT NULL,
    key text COLLATE "C",
    at timestamptz NOT NULL,
    payload text NOT NULL,
    PRIMARY KEY (flow_id, seq)
  );
  CREATE UNIQUE INDEX bare_key ON bare (flow_id, key) WHERE key IS NOT NULL;
`

export interface BareRow {
  readonly flow: number
  readonly seq: number
  readonly type: string
  readonly source: string
  readonly payload: string
}

type Run = (text: string, values: unknown[]) => Promise<unknown>

/** One statement for all rows: an array a column, unnested. */
export async function insertMany(run: Run, rows: readonly BareRow[]): Promise<void> {
  await run(
    `INSERT INTO bare (flow_id, seq, term, tenant, type, source, key, at, payload)
     SELECT e.flow, e.seq, 1, 'bench', e.type, e.source, NULL, clock_timestamp(), e.payload
     FROM unnest($1::bigint[], $2::bigint[], $3::text[], $4::text[], $5::text[])
       AS e (flow, seq, type, source, payload)`,
    [
      rows.map((row) => row.flow),
      rows.map((row) => row.seq),
      rows.map((row) => row.type),
      rows.map((row) => row.source),
      rows.map((row) => row.payload),
    ],
  )
}

export async function insertOne(run: Run, row: BareRow): Promise<void> {
  await run(
    `INSERT INTO bare (flow_id, seq, term, tenant, type, source, key, at, payload)
     VALUES ($1, $2, 1, 'bench', $3, $4, NULL, clock_timestamp(), $5)`,
    [row.flow, row.seq, row.type, row.source, row.payload],
  )
}

/**
 * Gathers rows as Spillway does: what arrives while `parallel` statements are in flight goes out in as many
 * equal parts as statements are free, at most 1,000 rows each, one turn of the event loop later.
 */
export class Gatherer {
  readonly #insert: (rows: readonly BareRow[]) => Promise<void>
  readonly #parallel: number
  #waiting: { row: BareRow; resolve: () => void; reject: (error: unknown) => void }[] = []
  #inFlight = 0
  #scheduled = false

  constructor(parallel: number, insert: (rows: readonly BareRow[]) => Promise<void>) {
    this.#parallel = parallel
    this.#insert = insert
  }

  add(row: BareRow): Promise<void> {
    return new Promise((resolve, reject) => {
      this.#waiting.push({ row, resolve, reject })
      this.#schedule()
    })
  }

  #schedule(): void {
    if (this.#scheduled || this.#inFlight >= this.#parallel || this.#waiting.length === 0) return
    this.#scheduled = true
    setImmediate(() => {
      this.#scheduled = false
      while (this.#inFlight < this.#parallel && this.#waiting.length > 0) {
        const share = Math.ceil(this.#waiting.length / (this.#parallel - this.#inFlight))
        void this.#send(this.#waiting.splice(0, Math.min(1000, share)))
      }
    })
  }

  async #send(
    batch: { row: BareRow; resolve: () => void; reject: (error: unknown) => void }[],
  ): Promise<void> {
    this.#inFlight += 1
    try {
      await this.#insert(batch.map(({ row }) => row))
      for (const { resolve } of batch) resolve()
    } catch (error) {
      for (const { reject } of batch) reject(error)
    } finally {
      this.#inFlight -= 1
      this.#schedule()
    }
  }
}
