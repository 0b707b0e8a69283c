import { type Command, InvalidArgumentError } from 'commander'
import type { FastifyPluginAsync } from 'fastify'
import { type Config, readConfig } from '../config.js'
import { refuseUnfit } from '../http/fit.js'
import type { HttpServer } from '../http/server.js'
import { Spillway } from '../spillway.js'
import { modeOf } from '../stores.js'
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
The store is PGlite in SPILLWAY_DATA_DIR (./.spillway), or the PostgreSQL of DATABASE_URL; with REDIS_URL too a Redis
stands beside it, and PostgreSQL behind that when it fails. With REDIS_URL alone Redis is the only store, and keeps
events as long as it keeps anything; DATABASE_URL=embedded puts PGlite behind it.
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
  refuseUnfit(config)
  const spillway = await openSpillway(config)
  try {
    // Only now: the other commands start in a third of the time without it.
    const { createServer } = await import('../http/server.js')
    const server = await createServer(spillway, { plugins: plugins(spillway) })
    await server.listen()
    sayWarning(spillway)
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

const ALL_FAST =
  'Redis is the only store: every flow is fast, acknowledged from the memory of Redis, and durable publishes are refused; DATABASE_URL puts PostgreSQL behind it'

/** Once, as soon as Redis has been seen: a server that is set to lose what it is given. */
function sayWarning(spillway: Spillway): void {
  const look = () => {
    const { warning } = spillway.termReport()
    if (warning === null) return
    process.stderr.write(`spillway: ${warning}\n`)
    stop()
  }
  const stop = spillway.onTermStep(look)
  look()
}

/** Opens the store, tells a person who waits what takes so long, and everybody what is not kept. */
export function openSpillway(config: Config): Promise<Spillway> {
  const onProgress = (step: string) => void process.stderr.write(`spillway: ${step}\n`)
  if (modeOf(config) === 'redis') onProgress(ALL_FAST)
  return Spillway.open({ config, ...(process.stderr.isTTY && { onProgress }) })
}

export function sayWhere({ spillway, server }: Running, json: boolean): void {
  const { mode, config } = spillway
  const postgres = spillway.holdsDataDir ? `PGlite in ${config.dataDir}` : 'PostgreSQL'
  const store = { full: `Redis and ${postgres}`, redis: 'Redis', postgres, embedded: postgres }[mode]
  const text = `Spillway listens on ${server.url} (mode ${mode}, store ${store}, auth ${config.auth})`
  output(json).line({ url: server.url, mode, store, auth: config.auth, pid: process.pid }, text)
}

function portOf(text: string): number {
  const port = Number(text)
  if (!/^\d{1,5}$/.test(text) || port > 65535)
    throw new InvalidArgumentError('A port is a number from 0 to 65535.')
  return port
}
