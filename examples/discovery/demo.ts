import { createHash } from 'node:crypto'
import { existsSync } from 'node:fs'
import { stat } from 'node:fs/promises'
import { basename, resolve } from 'node:path'
import { fileURLToPath } from 'node:url'
import { type Spillway, SpillwayError } from 'spillway'
import { DiscoveryError } from './errors.js'
import { analyse } from './phases/analyse.js'
import { importRows } from './phases/import.js'
import { takeInventory } from './phases/inventory.js'
import { mapFields } from './phases/map.js'
import { report } from './phases/report.js'
import { inspectFile } from './read/format.js'
import { Run } from './run.js'
import { printable, SILENT, terminalScreen } from './screen.js'
import { Voice } from './voice.js'
import {
  type Checkpoint,
  loadCheckpoint,
  PASS_BEGINS,
  type Phase,
  type Source,
  saveCheckpoint,
} from './work/checkpoint.js'
import { type Folder, folderName, holdFolder, runFolder } from './work/folder.js'

export interface DemoRun {
  readonly spillway: Spillway
  /** Table to import; default the sample file. A run that exists knows its own. */
  readonly file?: string | undefined
  /** How the file is called in events and reports; default its own name. */
  readonly name?: string | undefined
  readonly tenant?: string | undefined
  /**
   * The flow to work in; one that was begun goes on where it stopped. Default: the unfinished run of this very
   * file, else a new one.
   */
  readonly flow?: string | undefined
  /** Show progress on stderr. */
  readonly progress: boolean
  /** How long a proposed mapping waits for a person; default 8 s, `Infinity` for ever. */
  readonly autoConfirmMs?: number | undefined
  /** ISO day that support is measured against; default today. */
  readonly asOf?: string | undefined
  /** Stops the run between two batches; called again it goes on there. */
  readonly signal?: AbortSignal | undefined
}

export interface DiscoveryResult {
  readonly flow: string
  readonly rows: number
  readonly rejected: number
  readonly assets: number
  readonly dependencies: number
  readonly byTreatment: Readonly<Record<string, number>>
  /** Files of the report. */
  readonly report: { readonly html: string; readonly csv: string; readonly json: string }
}

const AUTO_CONFIRM_MS = 8000
const STEPS: Readonly<Record<Phase, (run: Run) => Promise<void>>> = {
  data_import: importRows,
  field_mapping: mapFields,
  asset_inventory: takeInventory,
  analysis: analyse,
  report,
}

/**
 * Runs the discovery flow to its end.
 * Errors: `DiscoveryError` for a file or a mapping that cannot be used (the flow is `failed` then);
 * `SpillwayError` when the store is away for long or the signal stops it (the run can go on later).
 */
export async function runDemo(options: DemoRun): Promise<DiscoveryResult> {
  const { spillway, tenant = 'default', signal } = options
  const { dataDir } = spillway.config
  const path = resolve(options.file ?? sampleFile())
  const name = options.flow ?? (await nextFlow(dataDir, tenant, path))
  const flow = spillway.tenant(tenant).flow(name)
  const folder = runFolder(dataDir, tenant, name)
  const release = await holdFolder(folder)
  try {
    const found = await loadCheckpoint(folder)
    const label = printable(found?.source.name ?? options.name ?? basename(path))
      .slice(0, 200)
      .toWellFormed()
    const screen = options.progress ? terminalScreen(process.stderr) : SILENT
    const voice = new Voice(flow, screen, { engagement: 'discovery', file: label }, signal)
    try {
      const checkpoint =
        found ?? (await beginRun(folder, { path, label, tenant, flow: name, asOf: options.asOf }))
      if (checkpoint.failure !== null)
        throw new DiscoveryError('RUN_UNKNOWN', `This run failed before: ${checkpoint.failure}`)
      const autoConfirmMs = options.autoConfirmMs ?? AUTO_CONFIRM_MS
      const run = new Run({ folder, flow, voice, signal, autoConfirmMs, checkpoint })
      await work(run)
      return result(run)
    } catch (error) {
      // If the store is away as well, the first reason is the one to tell.
      await sayFailure(voice, error).catch(() => undefined)
      throw error
    }
  } finally {
    await release()
  }
}

async function work(run: Run): Promise<void> {
  if (run.at.phase === 'data_import' || run.at.phase === 'field_mapping') await checkSource(run.at.source)
  try {
    for (let phase = run.at.phase; phase !== 'completed' && phase !== 'failed'; phase = run.at.phase)
      await STEPS[phase](run)
  } catch (error) {
    if (error instanceof DiscoveryError && error.code !== 'FILE_CHANGED')
      await run.save({ phase: 'failed', failure: error.message })
    throw error
  }
}

async function sayFailure(voice: Voice, error: unknown): Promise<void> {
  // A run that was stopped, or whose store went away, is not over: it goes on later.
  if (error instanceof SpillwayError) {
    if (error.code === 'ABORTED') await voice.rest()
    return
  }
  const code = error instanceof DiscoveryError ? error.code : 'INTERNAL'
  const reason =
    error instanceof DiscoveryError ? error.message : 'The import failed for a reason of its own; see the log'
  await voice.say('flow_failed', { reason, code }, 'flow_failed')
  await voice.state('failed', 'failed', 100, { reason })
  voice.note(reason)
}

/** Looks at the file and writes the first checkpoint: from then on the run survives. Errors: as `inspectFile`. */
export async function beginRun(
  folder: Folder,
  about: { path: string; label: string; tenant: string; flow: string; asOf?: string | undefined },
): Promise<Checkpoint> {
  const { path, label, tenant, flow, asOf } = about
  const format = await inspectFile(path)
  const source = { ...(await sourceOf(path)), name: label }
  // A hundred batches let a small file be seen, 5,000 lines bound memory and the number of events of a large one.
  const batchLines = Math.min(5000, Math.max(100, Math.ceil((format.lines ?? 1e6) / 100)))
  const checkpoint: Checkpoint = {
    version: 1,
    tenant,
    flow,
    source,
    asOf: asOf ?? new Date().toISOString().slice(0, 10),
    format,
    batchLines,
    phase: 'data_import',
    failure: null,
    imported: {
      place: { offset: format.offset, row: format.row },
      rows: 0,
      rejected: 0,
      rowsBytes: 0,
      rejectedBytes: 0,
    },
    mapping: null,
    inventory: { rowsAt: 0, rowsDone: 0, added: 0, updated: 0, logBytes: 0, rejected: 0, rejectedBytes: 0 },
    analysis: {
      assets: 0,
      byType: {},
      byEnvironment: {},
      byTreatment: {},
      edges: 0,
      unresolved: 0,
      unresolvedNames: [],
      linked: PASS_BEGINS,
      assessed: PASS_BEGINS,
    },
  }
  await saveCheckpoint(folder, checkpoint)
  return checkpoint
}

async function sourceOf(path: string): Promise<Omit<Source, 'name'>> {
  const { size, mtimeMs } = await stat(path)
  return { path, bytes: size, modifiedMs: mtimeMs }
}

async function checkSource(source: Source): Promise<void> {
  const now = await sourceOf(source.path).catch(() => null)
  if (now !== null && now.bytes === source.bytes && now.modifiedMs === source.modifiedMs) return
  throw new DiscoveryError(
    'FILE_CHANGED',
    'The file was changed or removed since its import began; start a new one',
  )
}

/** The unfinished run of this file, else the first that does not exist. A changed file is another file. */
async function nextFlow(dataDir: string, tenant: string, path: string): Promise<string> {
  const source = await sourceOf(path).catch(() => ({ path, bytes: 0, modifiedMs: 0 }))
  const digest = createHash('sha256').update(JSON.stringify(source)).digest('hex').slice(0, 8)
  const readable = folderName(basename(path)).replace(/\.[0-9a-f]{32}$/, '')
  for (let n = 1; ; n++) {
    const flow = `${readable}-${digest}-${n}`
    const found = await loadCheckpoint(runFolder(dataDir, tenant, flow))
    if (found === null || (found.phase !== 'completed' && found.phase !== 'failed')) return flow
  }
}

function result(run: Run): DiscoveryResult {
  const { flow, imported, inventory, analysis } = run.at
  const { html, csv, json } = run.folder
  return {
    flow,
    rows: imported.rows,
    rejected: imported.rejected + inventory.rejected,
    assets: analysis.assets,
    dependencies: analysis.edges,
    byTreatment: analysis.byTreatment,
    report: { html, csv, json },
  }
}

/** The sample file, from the sources or from the built package. */
export function sampleFile(): string {
  const places = ['./data/sample-inventory.csv', '../../../examples/discovery/data/sample-inventory.csv']
  const paths = places.map((place) => fileURLToPath(new URL(place, import.meta.url)))
  return paths.find((path) => existsSync(path)) ?? paths[0] ?? ''
}
