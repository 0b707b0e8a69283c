import { CommanderError } from 'commander'
import { SpillwayError } from '../errors.js'
import { printable } from './output.js'

const EXIT = { done: 0, failed: 1, usage: 2 } as const

/** Says on one line of standard error what went wrong and what to do, and answers the exit code. */
export function report(error: unknown, json: boolean): number {
  // Commander has said it already, help and version included.
  if (error instanceof CommanderError) return error.exitCode === 0 ? EXIT.done : EXIT.usage
  const code = codeOf(error)
  const message = printable(error instanceof Error ? error.message : String(error))
  process.stderr.write(json ? `${JSON.stringify({ code, message })}\n` : `spillway: ${message}\n`)
  if (process.env.DEBUG && error instanceof Error) process.stderr.write(`${error.stack}\n`)
  return code === 'INVALID_ARGUMENT' || code === 'INVALID_NAME' || code === 'INVALID_CURSOR'
    ? EXIT.usage
    : EXIT.failed
}

function codeOf(error: unknown): string {
  if (error instanceof SpillwayError) return error.code
  const code = error instanceof Error && 'code' in error ? error.code : undefined
  return typeof code === 'string' ? code : 'INTERNAL'
}
