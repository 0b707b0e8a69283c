import { type ChildProcess, type SpawnOptions, spawn } from 'node:child_process'
import { once } from 'node:events'
import { chownSync, mkdtempSync, readFileSync, writeFileSync } from 'node:fs'
import { connect, createServer, Socket } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { containerOf, dockerUser, isInDocker, signalContainer } from './docker.js'
import { eventually } from './eventually.js'

/** Whom servers that refuse root run as: undefined when this process is not root itself. */
export function serverUser(): { uid: number; gid: number } | undefined {
  if (process.getuid?.() !== 0) return undefined
  const users = new Map(
    readFileSync('/etc/passwd', 'utf8')
      .split('\n')
      .map((line) => line.split(':'))
      .map((field) => [field[0] ?? '', { uid: Number(field[2]), gid: Number(field[3]) }]),
  )
  return users.get('postgres') ?? users.get('nobody') ?? { uid: 65534, gid: 65534 }
}

/** How to start this program as that user. */
export function asServerUser(command: string): SpawnOptions {
  const user = serverUser()
  if (!user) return {}
  return isInDocker(command) ? { env: dockerUser(user) } : user
}

/** A new folder of its own for a server, owned by the user that the server runs as. */
export function serverFolder(name: string): string {
  const folder = mkdtempSync(join(tmpdir(), `spillway-${name}-`))
  const user = serverUser()
  if (user) chownSync(folder, user.uid, user.gid)
  return folder
}

/** A port of the loopback address that was free a moment ago. */
export async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1')
  await once(server, 'listening')
  const address = server.address()
  server.close()
  await once(server, 'close')
  if (address === null || typeof address === 'string') throw new Error('no port')
  return address.port
}

/** True if something accepts connections there. */
export async function accepts(port: number): Promise<boolean> {
  const socket = connect(port, '127.0.0.1')
  try {
    await once(socket, 'connect')
    return true
  } catch {
    return false
  } finally {
    socket.destroy()
  }
}

/** A server process, with what it said, for the message if it fails. */
export interface Server {
  readonly child: ChildProcess
  readonly exited: Promise<void>
  said(): string
  /** To the program itself, wherever it runs. */
  signal(signal: NodeJS.Signals): void
}

interface Start {
  readonly command: string
  readonly args: readonly string[]
  /** The server's own folder: its process id is kept there, for `tieToThisProcess`. */
  readonly folder: string
  readonly options?: SpawnOptions
  /** True once the server serves. */
  readonly ready: (said: string) => boolean | Promise<boolean>
}

/** Starts a server and resolves when it is ready. Errors: what it said, if it ended before. */
export async function startProcess({ command, args, folder, options, ready }: Start): Promise<Server> {
  // A group of its own: Ctrl-C in the terminal must not reach it before the tests have ended.
  const child = spawn(command, args, { ...options, detached: true, stdio: ['ignore', 'pipe', 'pipe'] })
  const { pid } = child
  const contained = pid !== undefined && isInDocker(command)
  if (pid !== undefined) writeFileSync(join(folder, 'pid'), String(pid))
  if (contained) writeFileSync(join(folder, 'container'), containerOf(pid))
  let said = ''
  const hear = (chunk: string) => {
    said = (said + chunk).slice(-65_536)
  }
  child.stdout?.setEncoding('utf8').on('data', hear)
  child.stderr?.setEncoding('utf8').on('data', hear)
  let over = false
  const exited = new Promise<void>((resolve) => {
    const end = () => {
      over = true
      resolve()
    }
    child.once('close', end)
    child.once('error', (error) => {
      said += error.message
      end()
    })
  })
  const what = `the start of ${command}`
  await eventually(async () => over || (await ready(said)), { withinMs: 30_000, everyMs: 20, what })
  if (over) throw new Error(`${command} ended: ${said}`)
  const signal = (name: NodeJS.Signals) => {
    if (contained) signalContainer(pid, name)
    else child.kill(name)
  }
  return { child, exited, said: () => said, signal }
}

/** Sends a signal and waits for the end. */
export async function endProcess(server: Server, signal: NodeJS.Signals): Promise<void> {
  server.signal(signal)
  await server.exited
}

/**
 * Ends what runs from `folder` and removes it: when the returned function is called, or when this process ends
 * in whatever way, because a shell waits on a pipe that closes with it.
 */
export function tieToThisProcess(folder: string): () => Promise<void> {
  // Not `kill --`, which Debian's shell does not know.
  const script = `read _
    [ -f "$1/container" ] && docker kill "$(cat "$1/container")" >/dev/null 2>&1
    [ -f "$1/pid" ] && kill -9 "-$(cat "$1/pid")" 2>/dev/null
    rm -rf "$1"`
  const shell = spawn('/bin/sh', ['-c', script, 'sh', folder], {
    detached: true,
    stdio: ['pipe', 'ignore', 'ignore'],
  })
  shell.unref()
  if (shell.stdin instanceof Socket) shell.stdin.unref()
  const ended = once(shell, 'exit')
  return async () => {
    shell.ref()
    shell.stdin?.end()
    await ended
  }
}
