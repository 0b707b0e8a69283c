import { chmodSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
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
import { askOnce, type RedisReply } from './resp.js'

/** Configuration lines, `['maxmemory', '10mb']` and the like. */
export type RedisConfig = Readonly<Record<string, string>>

/** A Redis server of its own, for tests that break it. */
export interface RedisServer {
  readonly port: number
  readonly url: string
  /** Folder of its append-only file and its dump. */
  readonly folder: string
  /** Process id; undefined while it is stopped. */
  readonly pid: number | undefined
  /** One command on a connection of its own; each reply as text, arrays as arrays. Errors: the server's own words. */
  ask(...command: readonly string[]): Promise<RedisReply>
  /** SIGKILL: nothing is written any more. */
  kill(): Promise<void>
  /** SIGTERM: what the configuration wants kept is written. */
  stop(): Promise<void>
  /** Starts again on the same port; `empty` without the files of before. */
  start(how?: 'same' | 'empty'): Promise<void>
  /** SIGSTOP: connections stay, nothing answers. */
  freeze(): void
  /** SIGCONT */
  thaw(): void
  /** Stops it and removes its files. */
  remove(): Promise<void>
}

export interface RedisStart {
  readonly config?: RedisConfig
  /** Besides the configuration: `--sentinel`. */
  readonly mode?: 'sentinel'
  readonly port?: number
}

/** Starts Redis on a free port, with the append-only file of production. */
export async function startRedis(config: RedisConfig = {}): Promise<RedisServer> {
  return startServer({ config: { appendonly: 'yes', appendfsync: 'everysec', ...config } })
}

/** As `startRedis`, without a configuration of its own but for where it listens. */
export async function startServer({ config = {}, mode, port: wanted }: RedisStart): Promise<RedisServer> {
  const { redis } = requirePrograms(['redis'])
  const folder = serverFolder('redis')
  const untie = tieToThisProcess(folder)
  const port = wanted ?? (await freePort())
  const file = join(folder, 'redis.conf')
  const lines = { bind: '127.0.0.1', port: String(port), dir: folder, save: '""', ...config }
  writeFileSync(
    file,
    Object.entries(lines)
      // `sentinel#1`: the same name may stand several times.
      .map(([name, value]) => `${name.replace(/#.*/, '')} ${value}\n`)
      .join(''),
  )
  // Sentinels write it anew, as the user that they run as.
  chmodSync(file, 0o666)
  const auth = config.requirepass === undefined ? [] : ['AUTH', config.requirepass]
  const start = () =>
    startProcess({
      command: redis,
      args: [file, ...(mode === 'sentinel' ? ['--sentinel'] : [])],
      folder,
      options: { ...asServerUser(redis), cwd: folder },
      ready: async () => {
        try {
          await askOnce(port, auth, ['PING'])
          return true
        } catch {
          return false
        }
      },
    })
  let server: Server | undefined = await start()
  const end = async (signal: NodeJS.Signals) => {
    if (!server) return
    const ended = endProcess(server, signal)
    // A stopped process does not see SIGTERM before it goes on.
    server.signal('SIGCONT')
    await ended
    server = undefined
  }
  const self: RedisServer = {
    port,
    url: `redis://${config.requirepass === undefined ? '' : `:${encodeURIComponent(config.requirepass)}@`}127.0.0.1:${port}`,
    folder,
    get pid() {
      return server?.child.pid
    },
    ask: (...command) => askOnce(port, auth, command),
    kill: () => end('SIGKILL'),
    stop: () => end('SIGTERM'),
    start: async (how = 'same') => {
      if (server) return
      if (how === 'empty') {
        for (const name of ['appendonlydir', 'appendonly.aof', 'dump.rdb'])
          rmSync(join(folder, name), { recursive: true, force: true })
      }
      server = await start()
    },
    freeze: () => void server?.signal('SIGSTOP'),
    thaw: () => void server?.signal('SIGCONT'),
    remove: async () => {
      await end('SIGKILL')
      await untie()
    },
  }
  return self
}

export interface RedisSet {
  /** `REDIS_URL` of the whole. */
  readonly url: string
  readonly servers: readonly RedisServer[]
  remove(): Promise<void>
}

export async function removeAll(servers: readonly RedisServer[]): Promise<void> {
  await Promise.all(servers.map((server) => server.remove()))
}
