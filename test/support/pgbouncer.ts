import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import {
  accepts,
  asServerUser,
  endProcess,
  freePort,
  serverFolder,
  startProcess,
  tieToThisProcess,
} from './processes.js'
import { requirePrograms } from './programs.js'

export interface PgBouncer {
  /** The database's URL through the pooler. */
  readonly url: string
  remove(): Promise<void>
}

/** Starts PgBouncer in transaction mode before a database. */
export async function startPgBouncer(databaseUrl: string): Promise<PgBouncer> {
  const { pgbouncer } = requirePrograms(['pgbouncer'])
  const folder = serverFolder('pgbouncer')
  const untie = tieToThisProcess(folder)
  const { username, password, port: target, pathname } = new URL(databaseUrl)
  const database = pathname.slice(1)
  const port = await freePort()
  const config = join(folder, 'pgbouncer.ini')
  writeFileSync(
    config,
    `[databases]
${database} = host=127.0.0.1 port=${target} dbname=${database} user=${username} password=${password}
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = ${port}
unix_socket_dir =
auth_type = any
pool_mode = transaction
max_client_conn = 500
default_pool_size = 20
ignore_startup_parameters = extra_float_digits
`,
  )
  const server = await startProcess({
    command: pgbouncer,
    args: [config],
    folder,
    options: { ...asServerUser(pgbouncer), cwd: folder },
    ready: () => accepts(port),
  })
  return {
    url: `postgres://${username}@127.0.0.1:${port}/${database}`,
    remove: async () => {
      await endProcess(server, 'SIGKILL')
      await untie()
    },
  }
}
