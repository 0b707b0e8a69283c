import { spawnSync } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { chmodSync, readFileSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { Client } from 'pg'
import {
  asServerUser,
  endProcess,
  freePort,
  type Server,
  serverFolder,
  startProcess,
  tieToThisProcess,
} from './processes.js'
import { requirePrograms } from './programs.js'

/** The login of tests: no superuser, so that row-level security is real. */
const LOGIN = 'spillway_login'
/** Where files of a new server lie, which takes a second to make. */
const TEMPLATE = 'SPILLWAY_TEST_POSTGRES'

/** A PostgreSQL server of its own, for tests that stop it. */
export interface PostgresServer {
  readonly port: number
  /** URL of the superuser. */
  readonly adminUrl: string
  /** A new database on this server. */
  database(): Promise<FreshDatabase>
  /** `immediate` gives no time for a shutdown checkpoint: the next start recovers from the log. */
  stop(mode: 'fast' | 'immediate'): Promise<void>
  /** Starts again, on the same port and files. */
  start(): Promise<void>
  restart(mode: 'fast' | 'immediate'): Promise<void>
  /** SIGKILL to the postmaster. */
  kill(): Promise<void>
  /** Stops it and removes its files. */
  remove(): Promise<void>
}

export interface FreshDatabase {
  /** URL of a login that owns the database and is no superuser. */
  readonly url: string
  /** URL of the superuser. */
  readonly adminUrl: string
  drop(): Promise<void>
}

/** Starts PostgreSQL on a free port, with the durability of production. */
export async function startPostgres(
  settings: Readonly<Record<string, string>> = {},
): Promise<PostgresServer> {
  const { postgres } = requirePrograms(['postgres'])
  const folder = serverFolder('postgres')
  const untie = tieToThisProcess(folder)
  const data = join(folder, 'data')
  const { password } = makeData(postgres, data)

  const port = await freePort()
  const options = {
    listen_addresses: '127.0.0.1',
    port: String(port),
    unix_socket_directories: folder,
    fsync: 'on',
    synchronous_commit: 'on',
    max_connections: '300',
    shared_buffers: '128MB',
    max_wal_size: '2GB',
    log_min_messages: 'fatal',
    ...settings,
  }
  const args = ['-D', data, ...Object.entries(options).flatMap(([name, value]) => ['-c', `${name}=${value}`])]
  const adminUrl = urlOf({ user: 'postgres', password, port, database: 'postgres' })
  const ready = () => answers(adminUrl)
  const start = () =>
    startProcess({
      command: postgres,
      args,
      folder,
      options: { ...asServerUser(postgres), cwd: folder },
      ready,
    })
  let server: Server | undefined = await start()

  const stop = async (signal: NodeJS.Signals) => {
    if (server) await endProcess(server, signal)
    server = undefined
  }
  const self: PostgresServer = {
    port,
    adminUrl,
    database: () => createDatabase(adminUrl),
    stop: (mode) => stop(mode === 'fast' ? 'SIGINT' : 'SIGQUIT'),
    start: async () => {
      server ??= await start()
    },
    restart: async (mode) => {
      await self.stop(mode)
      await self.start()
    },
    kill: () => stop('SIGKILL'),
    remove: async () => {
      await self.stop('immediate')
      await untie()
    },
  }
  await prepare(adminUrl, password)
  return self
}

/** Makes the files of a new server, or copies those that were made for this run. */
function makeData(postgres: string, data: string): { password: string } {
  const template = process.env[TEMPLATE]
  if (template !== undefined) {
    const copied = spawnSync('cp', ['-a', join(template, 'data'), data], { encoding: 'utf8' })
    if (copied.status !== 0) throw new Error(`cp failed: ${copied.stderr || copied.error?.message}`)
    return { password: readFileSync(join(template, 'password'), 'utf8') }
  }
  const folder = dirname(data)
  const password = randomBytes(16).toString('hex')
  const passwordFile = join(folder, 'password')
  writeFileSync(passwordFile, password)
  chmodSync(passwordFile, 0o644)
  const initdb = join(dirname(postgres), 'initdb')
  const options = [
    '--auth=password',
    `--pwfile=${passwordFile}`,
    '--encoding=UTF8',
    '--locale=C',
    '--no-sync',
  ]
  const made = spawnSync(initdb, ['-D', data, '-U', 'postgres', ...options], {
    ...asServerUser(initdb),
    cwd: folder,
    encoding: 'utf8',
  })
  if (made.status !== 0) throw new Error(`initdb failed: ${made.stderr || made.error?.message}`)
  return { password }
}

/** Makes files that all servers of this process and its children begin with; answers how to remove them. */
export function makePostgresTemplate(): () => Promise<void> {
  const { postgres } = requirePrograms(['postgres'])
  const folder = serverFolder('template')
  const untie = tieToThisProcess(folder)
  makeData(postgres, join(folder, 'data'))
  process.env[TEMPLATE] = folder
  return async () => {
    delete process.env[TEMPLATE]
    await untie()
  }
}

/** Makes a database, empty or like another, owned by the login of tests, on the server at `adminUrl`. */
export async function createDatabase(adminUrl: string, like = 'template0'): Promise<FreshDatabase> {
  const database = `test_${randomBytes(8).toString('hex')}`
  await asAdmin(adminUrl, (client) =>
    client.query(`CREATE DATABASE ${database} OWNER ${LOGIN} TEMPLATE ${like}`),
  )
  const { password, port } = new URL(adminUrl)
  return {
    url: urlOf({ user: LOGIN, password, port: Number(port), database }),
    adminUrl: urlOf({ user: 'postgres', password, port: Number(port), database }),
    drop: () =>
      asAdmin(adminUrl, (client) => client.query(`DROP DATABASE IF EXISTS ${database} WITH (FORCE)`)),
  }
}

async function prepare(adminUrl: string, password: string): Promise<void> {
  await asAdmin(adminUrl, async (client) => {
    // Roles are of the whole server. Made once here, because migrations of many test files at the same moment
    // would meet in them.
    await client.query('CREATE ROLE spillway_app NOLOGIN')
    await client.query(`CREATE ROLE ${LOGIN} LOGIN NOSUPERUSER NOBYPASSRLS CREATEROLE PASSWORD '${password}'`)
    await client.query(`GRANT spillway_app TO ${LOGIN}`)
  })
}

async function asAdmin(adminUrl: string, run: (client: Client) => Promise<unknown>): Promise<void> {
  const client = new Client({ connectionString: adminUrl })
  await client.connect()
  try {
    await run(client)
  } finally {
    await client.end()
  }
}

async function answers(url: string): Promise<boolean> {
  try {
    await asAdmin(url, (client) => client.query('SELECT 1'))
    return true
  } catch {
    return false
  }
}

function urlOf(part: { user: string; password: string; port: number; database: string }): string {
  return `postgres://${part.user}:${part.password}@127.0.0.1:${part.port}/${part.database}`
}
