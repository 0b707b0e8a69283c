/** A row as the driver returns it. */
export type Row = Record<string, unknown>

/** Runs one SQL statement. Errors: `STORE_UNAVAILABLE`, `FLOW_BUSY` (a lock was not granted in time), `INTERNAL`. */
export interface Queryable {
  query<R extends object = Row>(text: string, values?: readonly unknown[]): Promise<R[]>
}

/** Whose rows a transaction may touch: these tenants', or everybody's for system work. */
export type Scope = readonly string[] | 'all'

/** What is heard on a channel. Notices are hints: they may be lost, and `deaf` says that they surely are. */
export interface Ear {
  heard(payload: string): void
  /** `false`: notices no longer arrive; poll. `true`: they arrive again, and some may have been missed. */
  hearing(works: boolean): void
}

/**
 * One client over a PostgreSQL server and over PGlite. Statements may run on any connection, so no state is
 * kept in a session: that is what makes it work behind PgBouncer in transaction mode.
 */
export interface Database extends Queryable {
  readonly kind: 'postgres' | 'embedded'
  /** How many statements make sense at once; 1 for PGlite. */
  readonly parallel: number
  /** One transaction as the application role, which row-level security holds to the scope. */
  scoped<T>(scope: Scope, run: (tx: Queryable) => Promise<T>): Promise<T>
  /** One transaction as the connecting user, for migrations. */
  transaction<T>(run: (tx: Script) => Promise<T>): Promise<T>
  /** Hears the channel until the returned function is called. A lost connection is made anew. */
  listen(channel: string, ear: Ear): Promise<() => Promise<void>>
  close(): Promise<void>
}

/** A transaction that also runs text of many statements. */
export interface Script extends Queryable {
  script(text: string): Promise<void>
}

/** What narrows a transaction to its scope, as one text for one round trip. */
export function scopePrelude(scope: Scope): string {
  const setting =
    scope === 'all'
      ? `SET LOCAL spillway.scope = 'all'`
      : `SET LOCAL spillway.tenants = ${literal(arrayText(scope))}; SET LOCAL spillway.scope = ''`
  // Without jit: a look at 50 flows took 1,100 ms compiled, 0.1 ms as it is (bench/latency).
  return `SET LOCAL ROLE spillway_app; SET LOCAL jit = off; ${setting}`
}

/** An array as PostgreSQL reads it from text. */
function arrayText(items: readonly string[]): string {
  return `{${items.map((item) => `"${item.replace(/["\\]/g, '\\$&')}"`).join(',')}}`
}

function literal(text: string): string {
  const doubled = text.replaceAll("'", "''")
  return doubled.includes('\\') ? `E'${doubled.replaceAll('\\', '\\\\')}'` : `'${doubled}'`
}
