import { inject } from 'vitest'
import { createDatabase, type FreshDatabase } from './postgres.js'

/** An empty database on the shared server, for one test file. */
export function freshDatabase(): Promise<FreshDatabase> {
  return createDatabase(inject('postgresUrl'))
}
