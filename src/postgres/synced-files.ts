import { fsyncSync } from 'node:fs'
import { PGlite } from '@electric-sql/pglite'
import { NodeFS } from '@electric-sql/pglite/nodefs'

type Init = NodeFS['init']
type Module = Parameters<Init>[1]

/** PGlite's parameters without -F, which turns fsync off; its fdatasync, the usual method, does nothing at all. */
export const SYNCED_PARAMS = [
  ...PGlite.defaultStartParams.filter((param) => param !== '-F'),
  '-c',
  'wal_sync_method=fsync',
]

/**
 * PGlite's files on the disk, with fsync. PGlite's own file system has none: PostgreSQL's calls would succeed
 * without effect, and a power cut could take what was acknowledged.
 */
export class SyncedFiles extends NodeFS {
  override async init(...[pglite, module]: Parameters<Init>): ReturnType<Init> {
    const { emscriptenOpts } = await super.init(pglite, module)
    return { emscriptenOpts: { ...emscriptenOpts, preRun: [...preRuns(emscriptenOpts), addFsync] } }
  }
}

function preRuns(module: Module): NonNullable<Exclude<Module['preRun'], undefined>> {
  return module.preRun ?? []
}

function addFsync(module: object): void {
  const { NODEFS } = module as { NODEFS: { stream_ops: { fsync?: (stream: { nfd: number }) => number } } }
  NODEFS.stream_ops.fsync = ({ nfd }) => {
    fsyncSync(nfd)
    return 0
  }
}
