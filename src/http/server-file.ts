import { randomBytes } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { rename, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'

/** Where the server that holds an embedded data directory is reached, for the command line. */
export interface ServerFile {
  readonly pid: number
  readonly url: string
  /** Lets in as anybody: whoever can read the data directory has all of its data anyway. */
  readonly token: string
}

const NAME = 'server.json'

export function newOperatorToken(): string {
  return randomBytes(32).toString('base64url')
}

/** Written whole or not at all, readable by this user only. */
export async function writeServerFile(dataDir: string, file: ServerFile): Promise<void> {
  const draft = join(dataDir, `${NAME}.${file.pid}`)
  await writeFile(draft, JSON.stringify(file), { mode: 0o600 })
  await rename(draft, join(dataDir, NAME))
}

export async function removeServerFile(dataDir: string): Promise<void> {
  if (readServerFile(dataDir)?.pid === process.pid) await rm(join(dataDir, NAME), { force: true })
}

/** Undefined if no server has said where it is. */
export function readServerFile(dataDir: string): ServerFile | undefined {
  try {
    const file: unknown = JSON.parse(readFileSync(join(dataDir, NAME), 'utf8'))
    return isServerFile(file) ? file : undefined
  } catch {
    return undefined
  }
}

function isServerFile(file: unknown): file is ServerFile {
  if (typeof file !== 'object' || file === null) return false
  const { pid, url, token }: { pid?: unknown; url?: unknown; token?: unknown } = file
  return typeof pid === 'number' && typeof url === 'string' && typeof token === 'string'
}
