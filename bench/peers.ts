import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { eventually } from '../test/support/eventually.js'
import { endProcess, serverFolder, startProcess, tieToThisProcess } from '../test/support/processes.js'

/** A server in a process of its own. */
export interface Peer {
  readonly url: string
  readonly pid: number
  /** RSS in bytes, after a full collection. */
  settledRss(): Promise<number>
  stop(): Promise<void>
}

const HERE = fileURLToPath(new URL('.', import.meta.url))
const SPILLWAY = join(HERE, '../../bin/spillway.js')

interface Start {
  readonly env?: Readonly<Record<string, string>>
  /** Writes a CPU profile of the whole life into this folder. */
  readonly profile?: string | undefined
}

/** Starts one of bench/processes/. */
export function startPeer(name: string, start: Start = {}): Promise<Peer> {
  return startServer([join(HERE, 'processes', `${name}.js`)], start)
}

/** Starts `spillway serve`, as a user would, with heartbeats out of the way. */
export function startSpillway(start: Start = {}): Promise<Peer> {
  return startServer([SPILLWAY, 'serve'], {
    ...start,
    env: {
      SPILLWAY_PORT: '0',
      SPILLWAY_LOG_LEVEL: 'error',
      SPILLWAY_HEARTBEAT_MS: '600000',
      SPILLWAY_MAX_CONNECTIONS_PER_TENANT: '1000000',
      ...start.env,
    },
  })
}

const URL_LINE = /http:\/\/127\.0\.0\.1:\d+/

async function startServer(script: readonly string[], { env = {}, profile }: Start): Promise<Peer> {
  const folder = serverFolder('peer')
  const untie = tieToThisProcess(folder)
  const flags = ['--expose-gc', '--import', join(HERE, 'processes/rss.js')]
  if (profile !== undefined) flags.push('--cpu-prof', `--cpu-prof-dir=${profile}`)
  // As many files as the system lets this user have: a connection is one.
  const args = ['-c', 'ulimit -n "$(ulimit -Hn)"; exec "$@"', 'sh', process.execPath, ...flags, ...script]
  const server = await startProcess({
    command: '/bin/sh',
    args,
    folder,
    options: { env: { ...process.env, SPILLWAY_DATA_DIR: join(folder, 'data'), ...env } },
    ready: (said) => URL_LINE.test(said),
  })
  return {
    url: URL_LINE.exec(server.said())?.[0] ?? '',
    pid: server.child.pid ?? 0,
    settledRss: () => settledRss(server.child.pid ?? 0, server.said),
    stop: async () => {
      await endProcess(server, profile === undefined ? 'SIGKILL' : 'SIGTERM')
      await untie()
    },
  }
}

/** Asks processes/rss.ts by signal, and waits for its next line. */
async function settledRss(pid: number, said: () => string): Promise<number> {
  const lines = () => [...said().matchAll(/^rss (\d+)$/gm)]
  const before = lines().length
  process.kill(pid, 'SIGUSR2')
  await eventually(() => lines().length > before, { withinMs: 60_000, what: 'the answer about memory' })
  return Number(lines().at(-1)?.[1])
}
