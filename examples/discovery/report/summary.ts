import type { Assessed } from '../phases/analyse.js'
import type { BadRow } from '../read/records.js'
import type { Checkpoint, Counts } from '../work/checkpoint.js'
import { PHASES } from '../work/checkpoint.js'

/** What the report's page shows: bounded, whatever the file's size. */
export interface Summary {
  readonly file: string
  readonly bytes: number
  readonly encoding: string
  readonly delimiter: string
  readonly asOf: string
  readonly rows: number
  readonly rejected: number
  readonly assets: number
  readonly duplicates: number
  readonly dependencies: number
  readonly unresolved: number
  readonly unresolvedNames: readonly (readonly [string, number])[]
  readonly byType: Counts
  readonly byEnvironment: Counts
  readonly byTreatment: Counts
  readonly mapping: Readonly<Record<string, string | null>>
  readonly phases: readonly string[]
}

/** The part of a report that is shown in full: the first of each. */
export interface Shown {
  readonly assets: readonly Assessed[]
  readonly hubs: readonly Assessed[]
  readonly rejected: readonly BadRow[]
}

export function summarise(at: Checkpoint): Summary {
  return {
    file: at.source.name,
    bytes: at.source.bytes,
    encoding: at.format.encoding,
    delimiter: at.format.delimiter,
    asOf: at.asOf,
    rows: at.imported.rows,
    rejected: at.imported.rejected + at.inventory.rejected,
    assets: at.analysis.assets,
    duplicates: at.inventory.updated,
    dependencies: at.analysis.edges,
    unresolved: at.analysis.unresolved,
    unresolvedNames: at.analysis.unresolvedNames,
    byType: at.analysis.byType,
    byEnvironment: at.analysis.byEnvironment,
    byTreatment: at.analysis.byTreatment,
    mapping: at.mapping ?? {},
    phases: PHASES,
  }
}
