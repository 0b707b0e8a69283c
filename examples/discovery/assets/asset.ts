import type { Attribute } from '../mapping/attributes.js'

export const ASSET_TYPES = [
  'server',
  'virtual_machine',
  'application',
  'database',
  'network',
  'storage',
  'container',
  'mainframe',
  'other',
] as const
export type AssetType = (typeof ASSET_TYPES)[number]

export const ENVIRONMENTS = [
  'production',
  'staging',
  'test',
  'development',
  'disaster_recovery',
  'unknown',
] as const
export type Environment = (typeof ENVIRONMENTS)[number]

export type Criticality = 'critical' | 'high' | 'medium' | 'low'

/** An asset as the inventory keeps it: typed and normalised; what could not be read is in `issues`. */
export interface Asset {
  /** Identity within the import, made by `identityOf`. */
  readonly id: string
  readonly assetId: string | null
  readonly name: string
  readonly type: AssetType
  readonly hostname: string | null
  readonly ipAddress: string | null
  readonly environment: Environment
  readonly operatingSystem: string | null
  readonly osVersion: string | null
  readonly cpuCores: number | null
  readonly memoryGb: number | null
  readonly storageGb: number | null
  readonly application: string | null
  readonly businessOwner: string | null
  readonly criticality: Criticality | null
  readonly location: string | null
  /** As written: names, host names or addresses of others. */
  readonly dependencies: readonly string[]
  readonly technology: readonly string[]
  /** ISO date. */
  readonly endOfSupport: string | null
  readonly notes: string | null
  /** Rows it was made of: the first few, and how many. */
  readonly rows: readonly number[]
  readonly rowCount: number
  readonly issues: readonly Issue[]
}

/** A value that could not be read as what its column says. */
export interface Issue {
  readonly row: number
  readonly attribute: Attribute
  readonly value: string
}
