import { Client } from 'pg'

/** Another program's connection to the database, with what it does in a transaction of its own. */
export interface Outside {
  readonly client: Client
  /** Runs the statement in a transaction that stays open until `release`. */
  hold(text: string, values?: readonly unknown[]): Promise<(how?: 'COMMIT' | 'ROLLBACK') => Promise<void>>
  close(): Promise<void>
}

export async function openOutside(url: string): Promise<Outside> {
  const client = new Client({ connectionString: url })
  // A test that stops the server ends this connection too.
  client.on('error', () => undefined)
  await client.connect()
  return {
    client,
    hold: async (text, values = []) => {
      await client.query('BEGIN')
      await client.query(text, [...values])
      return async (how = 'ROLLBACK') => {
        await client.query(how)
      }
    },
    close: () => client.end(),
  }
}

/** Takes the row of a flow, as a long publish in a transaction would. */
export async function holdFlow(outside: Outside, tenant: string, flow: string) {
  return outside.hold(`SELECT FROM spillway.heads WHERE tenant = $1 AND flow = $2 FOR UPDATE`, [tenant, flow])
}

/** True while some backend waits for a lock. */
export async function somebodyWaits(outside: Outside): Promise<boolean> {
  const { rows } = await outside.client.query<{ waiting: number }>(
    `SELECT count(*)::int AS waiting FROM pg_stat_activity
     WHERE datname = current_database() AND wait_event_type = 'Lock'`,
  )
  return (rows[0]?.waiting ?? 0) > 0
}
