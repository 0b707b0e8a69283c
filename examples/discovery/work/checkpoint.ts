import { readFile } from 'node:fs/promises'
import { DiscoveryError, systemCode } from '../errors.js'
import type { Mapping } from '../mapping/attributes.js'
import type { Format } from '../read/format.js'
import type { Place } from '../read/table.js'
import { type Folder, writeWhole } from './folder.js'

export const PHASES = ['data_import', 'field_mapping', 'asset_inventory', 'analysis', 'report'] as const
export type Phase = (typeof PHASES)[number]

/** What a run needs to go on after its process was killed; written whole after the facts it stands for. */
export interface Checkpoint {
  readonly version: 1
  readonly tenant: string
  readonly flow: string
  readonly source: Source
  /** The day that "out of support" is measured against: the same after a resume on another day. */
  readonly asOf: string
  readonly format: Format
  /** Lines in a batch: a batch is one set of events, so its size stays what it was. */
  readonly batchLines: number
  readonly phase: Phase | 'completed' | 'failed'
  readonly failure: string | null
  readonly imported: Imported
  readonly mapping: Mapping | null
  readonly inventory: Inventory
  readonly analysis: Analysis
}

export interface Source {
  readonly path: string
  /** As the person called it. */
  readonly name: string
  readonly bytes: number
  readonly modifiedMs: number
}

export interface Imported {
  readonly place: Place
  readonly rows: number
  readonly rejected: number
  /** Bytes of the journals that are certain. */
  readonly rowsBytes: number
  readonly rejectedBytes: number
}

export interface Inventory {
  readonly rowsAt: number
  readonly rowsDone: number
  readonly added: number
  readonly updated: number
  readonly logBytes: number
  readonly rejected: number
  readonly rejectedBytes: number
}

export interface Analysis {
  readonly assets: number
  readonly byType: Counts
  readonly byEnvironment: Counts
  readonly byTreatment: Counts
  readonly edges: number
  /** References that no asset answers to: how many, and the most frequent. */
  readonly unresolved: number
  readonly unresolvedNames: readonly (readonly [name: string, times: number])[]
  readonly linked: Pass
  readonly assessed: Pass
}

/** How far one pass over the assets is. */
export interface Pass {
  readonly over: boolean
  /** Place in the journal of assets, in bytes, and how many came before it. */
  readonly at: number
  readonly done: number
  /** Bytes of the pass's own journals that are certain. */
  readonly bytes: number
  readonly unresolvedBytes: number
}

export const PASS_BEGINS: Pass = { over: false, at: 0, done: 0, bytes: 0, unresolvedBytes: 0 }

export type Counts = Readonly<Record<string, number>>

/** The run's checkpoint, or null if it has none. Errors: `RUN_UNKNOWN` if it is of another version. */
export async function loadCheckpoint(folder: Pick<Folder, 'checkpoint'>): Promise<Checkpoint | null> {
  let text: string
  try {
    text = await readFile(folder.checkpoint, 'utf8')
  } catch (error) {
    if (systemCode(error) === 'ENOENT') return null
    throw error
  }
  const found: Checkpoint = JSON.parse(text)
  if (found.version === 1) return found
  throw new DiscoveryError('RUN_UNKNOWN', 'The working files of this import were written by another version')
}

export function saveCheckpoint(folder: Folder, checkpoint: Checkpoint): Promise<void> {
  return writeWhole(folder.checkpoint, JSON.stringify(checkpoint))
}
