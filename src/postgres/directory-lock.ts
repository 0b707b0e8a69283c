import { randomUUID } from 'node:crypto'
import { link, readFile, rename, rm, stat, utimes, writeFile } from 'node:fs/promises'
import { hostname } from 'node:os'
import { join } from 'node:path'
import { SpillwayError } from '../errors.js'

export interface DirectoryLock {
  release(): Promise<void>
}

interface Holder {
  readonly pid: number
  readonly host: string
  /** The process's start, as the kernel counts it: tells a holder from another process with its number. */
  readonly started: string | null
  readonly nonce: string
}

/** How often a holder touches its lock, and the age at which a lock from another host counts as left behind. */
const TOUCH_MS = 5000
const LEFT_BEHIND_MS = 30_000

/**
 * Takes a directory for this process until release. A holder that died is recognised: on this host by its
 * process, from another host (a shared volume, a container) by a lock that is no longer touched.
 * Errors: `DATA_DIR_IN_USE`.
 */
export async function lockDirectory(dir: string): Promise<DirectoryLock> {
  const path = join(dir, 'lock')
  const nonce = randomUUID()
  const own: Holder = { pid: process.pid, host: hostname(), started: await startOf(process.pid), nonce }
  const draft = join(dir, `lock.${nonce}`)
  await writeFile(draft, JSON.stringify(own), { flush: true })
  try {
    if (!(await linked(draft, path))) await takeOver(path, draft, dir)
  } finally {
    await rm(draft, { force: true })
  }
  const touch = setInterval(() => {
    const now = new Date()
    utimes(path, now, now).catch(() => undefined)
  }, TOUCH_MS)
  touch.unref()
  return {
    release: async () => {
      clearInterval(touch)
      if ((await read(path))?.nonce === nonce) await rm(path, { force: true })
    },
  }
}

/** Replaces a dead holder's lock. Under a second lock: else two processes could replace each other's. */
async function takeOver(path: string, draft: string, dir: string): Promise<void> {
  const mutex = `${path}.takeover`
  if (!(await linked(draft, mutex))) {
    const age = Date.now() - ((await stat(mutex).catch(() => undefined))?.mtimeMs ?? Date.now())
    if (age < LEFT_BEHIND_MS) throw inUse(dir, undefined)
    await rm(mutex, { force: true })
    if (!(await linked(draft, mutex))) throw inUse(dir, undefined)
  }
  try {
    const holder = await read(path)
    if (holder && (await isAlive(holder, path))) throw inUse(dir, holder)
    if (holder) await rename(draft, path)
    // It was released just now: another process may take it without this mutex.
    else if (!(await linked(draft, path))) throw inUse(dir, await read(path))
  } finally {
    await rm(mutex, { force: true })
  }
}

async function linked(from: string, to: string): Promise<boolean> {
  try {
    await link(from, to)
    return true
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'EEXIST') return false
    throw error
  }
}

async function isAlive(holder: Holder, path: string): Promise<boolean> {
  if (holder.host !== hostname()) {
    const touched = (await stat(path).catch(() => undefined))?.mtimeMs ?? 0
    return Date.now() - touched < LEFT_BEHIND_MS
  }
  try {
    process.kill(holder.pid, 0)
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ESRCH') return false
  }
  const [state, started] = await look(holder.pid)
  // A zombie is dead, though its parent has not noticed; it keeps its number and its start.
  if (state === 'Z' || state === 'X') return false
  return started === null || holder.started === null || started === holder.started
}

async function startOf(pid: number): Promise<string | null> {
  return (await look(pid))[1]
}

/** A process's state and its start in clock ticks since boot; null where the system has no /proc. */
async function look(pid: number): Promise<[string | null, string | null]> {
  try {
    const text = await readFile(`/proc/${pid}/stat`, 'utf8')
    // The name in parentheses may hold spaces: count the fields from behind it.
    const fields = text.slice(text.lastIndexOf(')') + 2).split(' ')
    return [fields[0] ?? null, fields[19] ?? null]
  } catch {
    return [null, null]
  }
}

/** The lock's holder; undefined if there is no lock. One that cannot be read counts as of another host. */
async function read(path: string): Promise<Holder | undefined> {
  const unknown = { pid: 0, host: '', started: null, nonce: '' }
  try {
    return { ...unknown, ...(JSON.parse(await readFile(path, 'utf8')) as Partial<Holder>) }
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'ENOENT' ? undefined : unknown
  }
}

function inUse(dir: string, holder: Holder | undefined): SpillwayError {
  const who = holder ? `process ${holder.pid} on ${holder.host}` : 'another process'
  return new SpillwayError(
    'DATA_DIR_IN_USE',
    `The data directory ${dir} is in use by ${who}: stop it, or set SPILLWAY_DATA_DIR to another folder`,
  )
}
