import { chmodSync, rmSync, writeFileSync } from 'node:fs'
import { createConnection } from 'node:net'
import { join } from 'node:path'
import {
  endProcess,
  freePort,
  type Server,
  serverFolder,
  serverUser,
  startProcess,
  tieToThisProcess,
} from './processes.js'
import { requirePrograms } from './programs.js'

/** A redis-server of its own, for tests that break it. */
export interface RedisServer {
  readonly port: number
  readonly url: string
  readonly folder: string
  /** SIGKILL. */
  kill(): Promise<void>
  /** Ends as an operator ends it. */
  stop(): Promise<void>
  /** Starts again on the same port, with its files or without them. */
  start(with_: 'same' | 'empty'): Promise<void>
  /** SIGSTOP and SIGCONT: it accepts connections and answers nothing. */
  freeze(): void
  thaw(): void
  /** One command, over a connection of its own. */
  ask(...command: string[]): Promise<string>
  remove(): Promise<void>
}

/** Starts Redis on a free port; append-only file synced at every write unless the lines say otherwise. */
export async function startRedis(lines: readonly string[] = []): Promise<RedisServer> {
  const { redis } = requirePrograms(['redis'])
  const folder = serverFolder('redis')
  const untie = tieToThisProcess(folder)
  const port = await freePort()
  const config = join(folder, 'redis.conf')
  const defaults = [
    'bind 127.0.0.1',
    `port ${port}`,
    `dir ${folder}`,
    'appendonly yes',
    'appendfsync everysec',
    'save ""',
  ]
  writeFileSync(config, [...defaults, ...lines, ''].join('\n'))
  chmodSync(config, 0o644)
  const start = () =>
    startProcess({
      command: redis,
      args: [config],
      folder,
      options: { ...(serverUser() ?? {}), cwd: folder },
      ready: async () => (await ask(port, ['PING']).catch(() => '')).startsWith('+PONG'),
    })
  let server: Server | undefined = await start()
  const end = async (signal: NodeJS.Signals) => {
    if (server) await endProcess(server, signal)
    server = undefined
  }
  const self: RedisServer = {
    port,
    folder,
    url: `redis://127.0.0.1:${port}/0`,
    kill: () => end('SIGKILL'),
    stop: () => end('SIGTERM'),
    start: async (with_) => {
      if (with_ === 'empty') {
        rmSync(join(folder, 'appendonlydir'), { recursive: true, force: true })
        rmSync(join(folder, 'dump.rdb'), { force: true })
      }
      server ??= await start()
    },
    freeze: () => server?.child.kill('SIGSTOP'),
    thaw: () => server?.child.kill('SIGCONT'),
    ask: (...command) => ask(port, command),
    remove: async () => {
      server?.child.kill('SIGCONT')
      await end('SIGKILL')
      await untie()
    },
  }
  return self
}

/** Sends a command and gives the first bytes of its answer. */
function ask(port: number, command: readonly string[]): Promise<string> {
  return new Promise((resolve, reject) => {
    const socket = createConnection(port, '127.0.0.1')
    socket.setTimeout(5000, () => socket.destroy(new Error('Redis does not answer')))
    socket.on('connect', () => {
      socket.write(
        `*${command.length}\r\n${command.map((part) => `$${Buffer.byteLength(part)}\r\n${part}\r\n`).join('')}`,
      )
    })
    socket.on('data', (data) => {
      resolve(data.toString())
      socket.destroy()
    })
    socket.on('error', reject)
    socket.on('close', () => reject(new Error('Redis closed the connection')))
  })
}
