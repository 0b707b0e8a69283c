import type { TestProject } from 'vitest/node'
import { makeEmbedded } from './embedded.js'
import { startPostgres } from './postgres.js'
import { serverFolder, tieToThisProcess } from './processes.js'
import { requirePrograms } from './programs.js'

declare module 'vitest' {
  interface ProvidedContext {
    /** Superuser's URL of the server that all test files share. */
    postgresUrl: string
    /** For what one test file makes and others use. */
    sharedFolder: string
  }
}

/** Once before all test files: every program is there, one PostgreSQL server runs. */
export default async function setup(project: TestProject): Promise<() => Promise<void>> {
  requirePrograms(['postgres', 'pgbouncer', 'nginx', 'chromium', 'redis', 'openssl'])
  const shared = serverFolder('shared')
  const removeShared = tieToThisProcess(shared)
  const stopMaking = makeEmbedded(shared)
  const server = await startPostgres()
  project.provide('postgresUrl', server.adminUrl)
  project.provide('sharedFolder', shared)
  return async () => {
    await stopMaking()
    await removeShared()
    await server.remove()
  }
}
