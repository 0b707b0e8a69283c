import { readdirSync, readFileSync } from 'node:fs'
import { SpillwayError } from '../errors.js'
import type { Database } from './client.js'
import { sqlState } from './errors.js'

const FOLDER = new URL('./migrations/', import.meta.url)
/** Any fixed number: two instances that start at once migrate one after the other. */
const LOCK = 7_070_411_220

export interface Migration {
  readonly number: number
  readonly name: string
  readonly text: string
}

/** The migrations this code was built with, in order. */
export function migrations(): Migration[] {
  return readdirSync(FOLDER)
    .filter((file) => /^\d{4}_\w+\.sql$/.test(file))
    .sort()
    .map((file) => ({
      number: Number(file.slice(0, 4)),
      name: file.slice(5, -4),
      text: readFileSync(new URL(file, FOLDER), 'utf8'),
    }))
}

/**
 * Brings the schema to this code's version, in one transaction under an advisory lock, and returns what it
 * applied. Errors: `SCHEMA_TOO_NEW` if the schema has a migration that this code does not know.
 */
export async function migrate(
  db: Database,
  known: readonly Migration[] = migrations(),
): Promise<Migration[]> {
  const newest = known.at(-1)?.number ?? 0
  if ((await currentVersion(db)) === newest) return []
  return db.transaction(async (tx) => {
    await tx.query('SELECT pg_advisory_xact_lock($1)', [LOCK])
    await tx.script(
      'CREATE SCHEMA IF NOT EXISTS spillway;' +
        'CREATE TABLE IF NOT EXISTS spillway.migrations' +
        ' (number integer PRIMARY KEY, name text NOT NULL, applied_at timestamptz NOT NULL DEFAULT now())',
    )
    const rows = await tx.query<{ number: number }>('SELECT number FROM spillway.migrations')
    const applied = new Set(rows.map((row) => row.number))
    refuseNewer(Math.max(0, ...applied), newest)
    const missing = known.filter((migration) => !applied.has(migration.number))
    for (const { number, name, text } of missing) {
      await tx.script(text)
      await tx.query('INSERT INTO spillway.migrations (number, name) VALUES ($1, $2)', [number, name])
    }
    return missing
  })
}

/** The newest applied migration's number; 0 for a database without the schema. */
async function currentVersion(db: Database): Promise<number> {
  try {
    const [row] = await db.query<{ version: number }>(
      'SELECT coalesce(max(number), 0) AS version FROM spillway.migrations',
    )
    return row?.version ?? 0
  } catch (error) {
    const state = sqlState(error)
    if (state === '42P01' || state === '3F000') return 0
    throw error
  }
}

function refuseNewer(version: number, newest: number): void {
  if (version > newest) {
    throw new SpillwayError(
      'SCHEMA_TOO_NEW',
      `The database's schema is at ${version}, newer than this Spillway (${newest}): install the newer version`,
    )
  }
}
