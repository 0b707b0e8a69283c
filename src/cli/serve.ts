import { type Command, InvalidArgumentError } from 'commander'
import type { FastifyPluginAsync } from 'fastify'
import { type Config, readConfig } from '../config.js'
import { refuseOpenServer } from '../http/origin.js'
import type { HttpServer } from '../http/server.js'
import { Spillway } from '../spillway.js'
import { output } from './output.js'
import { stopped, stopSignal } from './stop.js'

export interface ServeOptions {
  readonly port?: number
  readonly host?: string
  readonly json?: boolean
}

export function addServe(program: Command): void {
  addAddress(program.command('serve'))
    .description('Serve HTTP, event streams and the page, until SIGINT or SIGTERM.')
    .option('--json', 'say where as JSON')
    .addHelpText(
      'after',
      `
The store is PGlite in SPILLWAY_DATA_DIR (./.spillway), or the PostgreSQL of DATABASE_URL; with REDIS_URL a Redis
stands beside it, and PostgreSQL behind that when it fails.
On the first signal streams end so that their readers resume elsewhere; a second one ends at once.

Examples:
  spillway serve
  spillway serve --port 8080
  DATABASE_URL=postgres://user:secret@db/app SPILLWAY_AUTH=keys SPILLWAY_HOST=0.0.0.0 spillway serve`,
    )
    .action(async (options: ServeOptions) => {
      const signal = stopSignal()
      const running = await startServer(configOf(options))
      try {
        sayWhere(running, options.json === true)
        await stopped(signal)
      } finally {
        await running.stop()
      }
    })
}

export function addAddress(command: Command): Command {
  return command
    .option('-p, --port <number>', 'port; 0: any free one (default: SPILLWAY_PORT, 7070)', portOf)
    .option('-H, --host <address>', 'address to listen on (default: SPILLWAY_HOST, 127.0.0.1)')
}

export function configOf({ port, host }: ServeOptions): Config {
  return {
    ...readConfig(process.env),
    ...(port !== undefined && { port }),
    ...(host !== undefined && { host }),
  }
}

export interface Running {
  readonly spillway: Spillway
  readonly server: HttpServer
  stop(): Promise<void>
}

export async function startServer(
  config: Config,
  plugins: (spillway: Spillway) => FastifyPluginAsync[] = () => [],
): Promise<Running> {
  // Before the store is opened: a first start creates a database, which takes a while.
  refuseOpenServer(config)
  const spillway = await openSpillway(config)
  try {
    // Only now: the other commands start in a third of the time without it.
    const { createServer } = await import('../http/server.js')
    const server = await createServer(spillway, { plugins: plugins(spillway) })
    await server.listen()
    return {
      spillway,
      server,
      stop: async () => {
        await server.drain()
        await spillway.close()
      },
    }
  } catch (error) {
    await spillway.close()
    throw error
  }
}

/** Opens the store and tells a person who waits what takes so long. */
export function openSpillway(config: Config): Promise<Spillway> {
  const onProgress = (step: string) => void process.stderr.write(`spillway: ${step}\n`)
  return Spillway.open({ config, ...(process.stderr.isTTY && { onProgress }) })
}

export function sayWhere({ spillway, server }: Running, json: boolean): void {
  const { mode, config } = spillway
  const postgres = spillway.database.kind === 'embedded' ? `PGlite in ${config.dataDir}` : 'PostgreSQL'
  const store = mode === 'full' ? `Redis and ${postgres}` : postgres
  const text = `Spillway listens on ${server.url} (mode ${mode}, store ${store}, auth ${config.auth})`
  output(json).line({ url: server.url, mode, store, auth: config.auth, pid: process.pid }, text)
}

function portOf(text: string): number {
  const port = Number(text)
  if (!/^\d{1,5}$/.test(text) || port > 65535)
    throw new InvalidArgumentError('A port is a number from 0 to 65535.')
  return port
}
