import { inject } from 'vitest'
import { createDatabase, type FreshDatabase } from './postgres.js'

/** A migrated database on the shared server, in which nothing has happened yet. */
export function freshDatabase(): Promise<FreshDatabase> {
  return createDatabase(inject('postgresUrl'), inject('migratedDatabase'))
}

/** One that nobody has migrated yet. */
export function emptyDatabase(): Promise<FreshDatabase> {
  return createDatabase(inject('postgresUrl'))
}
