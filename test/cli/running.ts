import { type ChildProcess, spawn } from 'node:child_process'
import { fileURLToPath } from 'node:url'

const BIN = fileURLToPath(new URL('../../bin/spillway.js', import.meta.url))

export interface Ended {
  readonly code: number | null
  readonly out: string
  readonly err: string
}

/** A run of the command; `said` grows while it runs. */
export interface Command {
  readonly said: () => string
  /** Resolves once what it said on standard output matches. */
  until(pattern: RegExp): Promise<void>
  signal(name: NodeJS.Signals): void
  readonly ended: Promise<Ended>
}

const alive = new Set<ChildProcess>()
process.once('exit', () => {
  for (const child of alive) child.kill('SIGKILL')
})

/** Runs `spillway` in a process of its own, with nothing of this one's configuration. */
export function run(args: readonly string[], env: Readonly<Record<string, string>> = {}): Command {
  const inherited = Object.entries(process.env).filter(
    ([name]) => !/^(SPILLWAY_|DATABASE_URL|REDIS_)/.test(name),
  )
  const child = spawn(process.execPath, [BIN, ...args], {
    env: { ...Object.fromEntries(inherited), ...env },
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  // A test that fails leaves its command running: it ends with this process at the latest.
  alive.add(child)
  child.once('close', () => alive.delete(child))
  let out = ''
  let err = ''
  const looks = new Set<() => void>()
  child.stdout.setEncoding('utf8').on('data', (chunk: string) => {
    out += chunk
    for (const look of looks) look()
  })
  child.stderr.setEncoding('utf8').on('data', (chunk: string) => {
    err += chunk
  })
  const ended = new Promise<Ended>((resolve) => child.once('close', (code) => resolve({ code, out, err })))
  return {
    said: () => out,
    until: (pattern) =>
      new Promise((resolve, reject) => {
        const look = () => {
          if (!pattern.test(out)) return
          looks.delete(look)
          resolve()
        }
        looks.add(look)
        look()
        void ended.then(() => reject(new Error(`it ended: ${out}${err}`)))
      }),
    signal: (name) => void child.kill(name),
    ended,
  }
}
