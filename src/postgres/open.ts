import type { Config } from '../config.js'
import type { Database } from './client.js'
import { EmbeddedDatabase } from './embedded.js'
import { ServerDatabase } from './server.js'

/** Opens the PostgreSQL that the configuration names: a server, or PGlite in this process. */
export async function openDatabase(config: Config, onProgress?: (step: string) => void): Promise<Database> {
  const { databaseUrl, listenUrl, poolSize, dataDir } = config
  if (databaseUrl === '' || databaseUrl === 'embedded') return EmbeddedDatabase.open(dataDir, onProgress)
  return new ServerDatabase({
    url: databaseUrl,
    listenUrl: listenUrl === 'off' ? null : listenUrl || databaseUrl,
    poolSize,
  })
}
