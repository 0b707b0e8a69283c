import type { TestProject } from 'vitest/node'
import { startPostgres } from './postgres.js'
import { requirePrograms } from './programs.js'

declare module 'vitest' {
  interface ProvidedContext {
    /** Superuser's URL of the server that all test files share. */
    postgresUrl: string
  }
}

/** Once before all test files: every program is there, one PostgreSQL server runs. */
export default async function setup(project: TestProject): Promise<() => Promise<void>> {
  requirePrograms(['postgres', 'pgbouncer', 'nginx', 'chromium', 'redis', 'openssl'])
  const server = await startPostgres()
  project.provide('postgresUrl', server.adminUrl)
  return () => server.remove()
}
