import pg from 'pg'
import {
  type Database,
  type Ear,
  type Queryable,
  type Row,
  type Scope,
  type Script,
  scopePrelude,
} from './client.js'
import { closed, translate } from './errors.js'
import { listenOn } from './listen.js'

export interface ServerOptions {
  readonly url: string
  /** Where LISTEN works; `null`: nowhere. */
  readonly listenUrl: string | null
  readonly poolSize: number
  /** ms until a connection attempt, and a statement, are given up. */
  readonly connectTimeoutMs?: number
  readonly statementTimeoutMs?: number
}

/** `bigint` and `numeric` sums fit a double here: seqs stay below 2^53. */
const types: pg.CustomTypesConfig = {
  getTypeParser: (oid: number, format?: 'text' | 'binary') =>
    oid === 20 && format !== 'binary'
      ? Number
      : (pg.types.getTypeParser(oid, format) as (text: string) => unknown),
}

/** PostgreSQL on a server. */
export class ServerDatabase implements Database {
  readonly kind = 'postgres'
  readonly parallel: number
  readonly #pool: pg.Pool
  readonly #listenUrl: string | null
  readonly #connectTimeoutMs: number
  #closed = false

  constructor(options: ServerOptions) {
    this.#connectTimeoutMs = options.connectTimeoutMs ?? 3000
    this.#listenUrl = options.listenUrl
    this.parallel = options.poolSize
    this.#pool = new pg.Pool({
      connectionString: options.url,
      max: options.poolSize,
      connectionTimeoutMillis: this.#connectTimeoutMs,
      query_timeout: options.statementTimeoutMs ?? 10_000,
      keepAlive: true,
      pipeline: true,
      types,
    })
    // An idle connection that breaks has no caller to tell; the pool drops it, the next statement dials anew.
    this.#pool.on('error', () => undefined)
    // One that breaks while it is lent out, between two statements, would end the process: nobody else listens.
    this.#pool.on('connect', (client) => client.on('error', () => undefined))
  }

  async query<R extends object = Row>(text: string, values: readonly unknown[] = []): Promise<R[]> {
    if (this.#closed) throw closed()
    try {
      return (await this.#pool.query<R & pg.QueryResultRow>(text, [...values])).rows
    } catch (error) {
      throw translate(error)
    }
  }

  async scoped<T>(scope: Scope, run: (tx: Queryable) => Promise<T>): Promise<T> {
    return this.#inTransaction(`BEGIN; ${scopePrelude(scope)}`, run)
  }

  async transaction<T>(run: (tx: Script) => Promise<T>): Promise<T> {
    return this.#inTransaction('BEGIN', run)
  }

  async #inTransaction<T>(prelude: string, run: (tx: Script) => Promise<T>): Promise<T> {
    if (this.#closed) throw closed()
    const client = await this.#pool.connect().catch((error: unknown) => {
      throw translate(error)
    })
    // Not awaited: it travels with the first statement. If it fails, that statement fails after it.
    const begun = client.query(prelude)
    begun.catch(() => undefined)
    try {
      const result = await run({
        query: async <R extends object>(text: string, values: readonly unknown[] = []) =>
          (await client.query<R & pg.QueryResultRow>(text, [...values])).rows,
        script: async (text) => {
          await client.query(text)
        },
      })
      await begun
      await client.query('COMMIT')
      client.release()
      return result
    } catch (error) {
      const cause = await begun.then(
        () => error,
        (first: unknown) => first,
      )
      const known = translate(cause)
      // A connection whose state is in doubt is not given back.
      const broken = known.code === 'STORE_UNAVAILABLE' || !(await rolledBack(client))
      client.release(broken)
      throw known
    }
  }

  async listen(channel: string, ear: Ear): Promise<() => Promise<void>> {
    if (this.#listenUrl === null) {
      ear.hearing(false)
      return async () => undefined
    }
    const notify = (payload: string) => this.query('SELECT pg_notify($1, $2)', [channel, payload])
    return listenOn({ url: this.#listenUrl, channel, connectTimeoutMs: this.#connectTimeoutMs, notify }, ear)
  }

  async close(): Promise<void> {
    this.#closed = true
    await this.#pool.end()
  }
}

async function rolledBack(client: pg.PoolClient): Promise<boolean> {
  try {
    await client.query('ROLLBACK')
    return true
  } catch {
    return false
  }
}
