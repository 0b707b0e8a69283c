import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { createInterface } from 'node:readline'

const BUILT = new URL('../../dist/src/', import.meta.url).href

/** Another Node.js process that runs what was built, and talks in lines. */
export interface Child {
  readonly pid: number
  /** Its next line. */
  line(): Promise<string>
  say(line: string): void
  kill(): Promise<void>
}

/** The program imports from `built('postgres/…')` and answers with `say()`; `lines` is what it is told. */
export function runChild(program: string): Child {
  const child = spawn(process.execPath, ['--input-type=module', '-e', `${PRELUDE}\n${program}`], {
    stdio: ['pipe', 'pipe', 'inherit'],
  })
  const lines = linesOf(child)
  return {
    pid: child.pid as number,
    line: async () => {
      const next = await lines.next()
      if (next.done) throw new Error('the child has ended')
      return next.value
    },
    say: (line) => {
      child.stdin?.write(`${line}\n`)
    },
    kill: async () => {
      if (child.exitCode !== null || child.signalCode !== null) return
      const exited = once(child, 'exit')
      child.kill('SIGKILL')
      await exited
    },
  }
}

export function linesOf(child: ChildProcess): AsyncIterator<string> {
  if (!child.stdout) throw new Error('no stdout')
  return createInterface({ input: child.stdout })[Symbol.asyncIterator]()
}

const PRELUDE = `
import { createInterface } from 'node:readline'
import { writeSync } from 'node:fs'
const built = (path) => import(${JSON.stringify(BUILT)} + path)
const say = (line) => writeSync(1, line + '\\n')
const lines = createInterface({ input: process.stdin })
`
