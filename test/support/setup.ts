import type { TestProject } from 'vitest/node'
import { migrate } from '../../src/postgres/migrate.js'
import { ServerDatabase } from '../../src/postgres/server.js'
import { makeEmbedded } from './embedded.js'
import { makePostgresTemplate, type PostgresServer, startPostgres } from './postgres.js'
import { serverFolder, tieToThisProcess } from './processes.js'
import { requirePrograms } from './programs.js'

declare module 'vitest' {
  interface ProvidedContext {
    /** Superuser's URL of the server that all test files share. */
    postgresUrl: string
    /** Name of a database there that others are copied from: migrations take longer. */
    migratedDatabase: string
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
  const removeTemplate = makePostgresTemplate()
  const server = await startPostgres()
  project.provide('postgresUrl', server.adminUrl)
  project.provide('migratedDatabase', await migrated(server))
  project.provide('sharedFolder', shared)
  return async () => {
    await stopMaking()
    await removeShared()
    await server.remove()
    await removeTemplate()
  }
}

async function migrated(server: PostgresServer): Promise<string> {
  const { url } = await server.database()
  const database = new ServerDatabase({ url, listenUrl: url, poolSize: 1 })
  await migrate(database)
  await database.close()
  return new URL(url).pathname.slice(1)
}
