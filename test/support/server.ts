import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { endProcess, serverFolder, startProcess, tieToThisProcess } from './processes.js'

/** A Spillway server in a process of its own. */
export interface SpillwayServer {
  readonly url: string
  readonly pid: number
  readonly exited: Promise<void>
  said(): string
  /** SIGKILL: no goodbye of any kind. */
  kill9(): Promise<void>
  /** SIGTERM, and waits for the drain. Returns the exit code. */
  stop(): Promise<number | null>
}

/** The repository's root, from the source folder or from `dist/`. */
const ROOT = fileURLToPath(
  new URL(import.meta.url.includes('/dist/test/') ? '../../../' : '../../', import.meta.url),
)

const URL_LINE = /http:\/\/127\.0\.0\.1:\d+/

/**
 * Starts `spillway serve` on a free port, or another script of the repository that serves, with this environment, and
 * resolves when it has said its address.
 */
export async function spawnServer(
  env: Readonly<Record<string, string>> = {},
  script: readonly string[] = ['bin/spillway.js', 'serve'],
): Promise<SpillwayServer> {
  const folder = serverFolder('server')
  const untie = tieToThisProcess(folder)
  const inherited = Object.entries(process.env).filter(
    ([name]) => !/^(SPILLWAY_|DATABASE_URL|REDIS_)/.test(name),
  )
  const server = await startProcess({
    command: process.execPath,
    args: script.map((part, i) => (i === 0 ? join(ROOT, part) : part)),
    folder,
    options: {
      env: {
        ...Object.fromEntries(inherited),
        SPILLWAY_PORT: '0',
        SPILLWAY_DATA_DIR: join(folder, 'data'),
        SPILLWAY_LOG_LEVEL: 'warn',
        ...env,
      },
    },
    ready: (said) => URL_LINE.test(said),
  })
  const end = async (signal: NodeJS.Signals) => {
    await endProcess(server, signal)
    await untie()
    return server.child.exitCode
  }
  return {
    url: URL_LINE.exec(server.said())?.[0] ?? '',
    pid: server.child.pid ?? 0,
    exited: server.exited,
    said: server.said,
    kill9: async () => void (await end('SIGKILL')),
    stop: () => end('SIGTERM'),
  }
}
