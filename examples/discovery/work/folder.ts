import { createHash } from 'node:crypto'
import { mkdir, open, readdir, readFile, rename, rm } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { DiscoveryError, systemCode } from '../errors.js'

/** Folders of this process's own runs that are in use. */
const held = new Set<string>()

/**
 * A name as one part of a path: itself if it is plain, else its readable part and a digest, so that no name
 * leaves the folder, two names never share one, and file systems that ignore case keep them apart.
 */
export function folderName(name: string): string {
  if (/^[a-z0-9][a-z0-9_-]{0,79}$/.test(name)) return name
  const readable = name
    .toLowerCase()
    .replace(/[^a-z0-9]+/g, '-')
    .replace(/^-|-$/g, '')
    .slice(0, 40)
  return `${readable === '' ? 'x' : readable}.${createHash('sha256').update(name).digest('hex').slice(0, 32)}`
}

/** The working files of one run of the discovery flow. */
export interface Folder {
  readonly path: string
  readonly upload: string
  readonly checkpoint: string
  readonly rows: string
  readonly rejected: string
  readonly log: string
  readonly assets: string
  readonly edges: string
  readonly unresolved: string
  readonly assessed: string
  readonly html: string
  readonly csv: string
  readonly json: string
  readonly rejectedCsv: string
}

export function runFolder(dataDir: string, tenant: string, flow: string): Folder {
  const path = join(dataDir, 'discovery', folderName(tenant), folderName(flow))
  const at = (name: string) => join(path, name)
  return {
    path,
    upload: at('upload'),
    checkpoint: at('checkpoint.json'),
    rows: at('rows.jsonl'),
    rejected: at('rejected.jsonl'),
    log: at('upserts.jsonl'),
    assets: at('assets.jsonl'),
    edges: at('edges.jsonl'),
    unresolved: at('unresolved.jsonl'),
    assessed: at('assessed.jsonl'),
    html: at('report.html'),
    csv: at('report.csv'),
    json: at('report.json'),
    rejectedCsv: at('rejected.csv'),
  }
}

/** Writes a whole file or, if the process dies, none of it: beside it, synced, renamed, the folder synced. */
export async function writeWhole(path: string, text: string): Promise<void> {
  const aside = `${path}.new`
  const file = await open(aside, 'w')
  try {
    await file.writeFile(text)
    await file.sync()
  } finally {
    await file.close()
  }
  await rename(aside, path)
  await syncFolder(dirname(path))
}

/** Makes a rename outlive a power cut; where folders cannot be opened (Windows) the system does it. */
export async function syncFolder(path: string): Promise<void> {
  try {
    const folder = await open(path, 'r')
    try {
      await folder.sync()
    } finally {
      await folder.close()
    }
  } catch (error) {
    if (!['EISDIR', 'EPERM', 'EACCES', 'EINVAL'].includes(systemCode(error) ?? '')) throw error
  }
}

/**
 * Takes the folder for this process until the returned function is called.
 * A holder that died is recognised by its process id. Errors: `RUN_BUSY`.
 */
export async function holdFolder(folder: Folder): Promise<() => Promise<void>> {
  await mkdir(folder.path, { recursive: true })
  const path = join(folder.path, 'lock')
  if (held.has(path)) throw new DiscoveryError('RUN_BUSY', 'This import is already running in this process')
  held.add(path)
  try {
    const owner = Number(await readFile(path, 'utf8').catch(() => '0'))
    if (owner > 0 && owner !== process.pid && isAlive(owner)) {
      throw new DiscoveryError('RUN_BUSY', `This import is running in process ${owner}`)
    }
    await writeWhole(path, String(process.pid))
  } catch (error) {
    held.delete(path)
    throw error
  }
  return async () => {
    await rm(path, { force: true })
    held.delete(path)
  }
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0)
    return true
  } catch (error) {
    return systemCode(error) === 'EPERM'
  }
}

/** Names of the folders in `path`; none if it does not exist. */
export async function foldersIn(path: string): Promise<string[]> {
  try {
    const entries = await readdir(path, { withFileTypes: true })
    return entries.filter((entry) => entry.isDirectory()).map((entry) => entry.name)
  } catch (error) {
    if (systemCode(error) === 'ENOENT') return []
    throw error
  }
}
