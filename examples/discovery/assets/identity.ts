import type { Asset } from './asset.js'

/** A name for comparing: one form of each character, lower case, single spaces. */
export function fold(text: string): string {
  return text.normalize('NFKC').toLowerCase().replace(/\s+/g, ' ').trim()
}

/**
 * The identity rule: two rows are the same asset if they agree in the first of these that the row has.
 *
 * 1. An application: its name and its environment (its host name says where it runs, not what it is).
 * 2. The host name without its domain, in lower case.
 * 3. The IP address.
 * 4. The name, the type and the environment.
 */
export function identityOf(
  asset: Pick<Asset, 'name' | 'type' | 'hostname' | 'ipAddress' | 'environment'>,
): string {
  if (asset.type === 'application') return `app:${fold(asset.name)}:${asset.environment}`
  if (asset.hostname !== null) return `host:${asset.hostname.split('.')[0]}`
  if (asset.ipAddress !== null) return `ip:${asset.ipAddress}`
  return `name:${fold(asset.name)}:${asset.type}:${asset.environment}`
}

const ROWS_KEPT = 10
const ISSUES_KEPT = 5
const LIST_KEPT = 50

/** One asset from two rows: the later row's values, the earlier one's where the later has none; lists are joined. */
export function mergeAssets(earlier: Asset, later: Asset): Asset {
  return {
    id: earlier.id,
    assetId: later.assetId ?? earlier.assetId,
    name: later.name === later.hostname ? earlier.name : later.name,
    type: later.type === 'other' ? earlier.type : later.type,
    hostname: longer(later.hostname, earlier.hostname),
    ipAddress: later.ipAddress ?? earlier.ipAddress,
    environment: later.environment === 'unknown' ? earlier.environment : later.environment,
    operatingSystem: later.operatingSystem ?? earlier.operatingSystem,
    osVersion: later.osVersion ?? earlier.osVersion,
    cpuCores: later.cpuCores ?? earlier.cpuCores,
    memoryGb: later.memoryGb ?? earlier.memoryGb,
    storageGb: later.storageGb ?? earlier.storageGb,
    application: later.application ?? earlier.application,
    businessOwner: later.businessOwner ?? earlier.businessOwner,
    criticality: later.criticality ?? earlier.criticality,
    location: later.location ?? earlier.location,
    dependencies: union(earlier.dependencies, later.dependencies),
    technology: union(earlier.technology, later.technology),
    endOfSupport: later.endOfSupport ?? earlier.endOfSupport,
    notes: later.notes ?? earlier.notes,
    rows: [...earlier.rows, ...later.rows].slice(0, ROWS_KEPT),
    rowCount: earlier.rowCount + later.rowCount,
    issues: [...earlier.issues, ...later.issues].slice(0, ISSUES_KEPT),
  }
}

/** The full name of a host says more than the short one. */
function longer(later: string | null, earlier: string | null): string | null {
  if (later === null || earlier === null) return later ?? earlier
  return earlier.length > later.length && earlier.startsWith(`${later}.`) ? earlier : later
}

function union(earlier: readonly string[], later: readonly string[]): string[] {
  const folded = new Set(earlier.map(fold))
  return [...earlier, ...later.filter((item) => !folded.has(fold(item)))].slice(0, LIST_KEPT)
}
