import type { Attribute, Mapping } from '../mapping/attributes.js'
import type { Row } from '../read/records.js'
import type { Asset, Issue } from './asset.js'
import { readDate } from './dates.js'
import { identityOf } from './identity.js'
import { headerUnit, readCores, readGigabytes } from './quantities.js'
import { readCriticality, readEnvironment, readSystem, readType } from './vocabulary.js'

const MAX_TEXT = 500
const MAX_LIST = 50
const MAX_ISSUES = 5
/** Amounts without a unit above these are MB. */
const MEMORY_MB_ABOVE = 4096
const STORAGE_MB_ABOVE = 1_000_000
const EMPTY = /^(n\/?a|n\.a\.|null|none|nil|-+|\?+|unknown|unbekannt|tbd|#n\/a|keine?)$/i
const IPV4 = /^(25[0-5]|2[0-4]\d|1?\d?\d)(\.(25[0-5]|2[0-4]\d|1?\d?\d)){3}$/
const IPV6 = /^(?=.*:.*:)[0-9a-f:]{3,39}$/i
const HOST = /^[a-z0-9_]([a-z0-9_-]{0,62})(\.[a-z0-9_-]{1,63})*$/

/** Turns rows into assets by a mapping. */
export type Normalise = (row: Row) => Asset | null

/** Reads values by attribute; null for a row that nothing identifies. */
export function normaliser(columns: readonly string[], mapping: Mapping): Normalise {
  const places = new Map<Attribute, number>()
  const units = new Map<Attribute, string | null>()
  for (const [i, column] of columns.entries()) {
    const attribute = Object.hasOwn(mapping, column) ? mapping[column] : null
    if (attribute === null || attribute === undefined) continue
    places.set(attribute, i)
    units.set(attribute, headerUnit(column))
  }
  return (row) => {
    const issues: Issue[] = []
    const text = (attribute: Attribute): string | null => {
      const value = clean(row.fields[places.get(attribute) ?? -1] ?? '')
      return value === '' || EMPTY.test(value) ? null : value
    }
    const typed = <T>(attribute: Attribute, read: (value: string) => T | null): T | null => {
      const value = text(attribute)
      if (value === null) return null
      const found = read(value)
      if (found === null && issues.length < MAX_ISSUES)
        issues.push({ row: row.row, attribute, value: value.slice(0, 80) })
      return found
    }
    const hostname = typed('hostname', readHost)
    const ipAddress = typed('ip_address', readAddress)
    const assetId = text('asset_id')
    const application = text('application')
    // A host name that is none still names the asset: better a poor name than a lost row.
    const name = text('name') ?? hostname ?? application ?? ipAddress ?? text('hostname')
    if (name === null) return null
    const system = text('operating_system')
    const os = system === null ? null : readSystem(system)
    const said = typed('type', readType)
    const part = {
      assetId,
      name,
      type:
        said ??
        (hostname !== null || ipAddress !== null || os !== null
          ? 'server'
          : application !== null
            ? 'application'
            : 'other'),
      hostname,
      ipAddress,
      environment: typed('environment', readEnvironment) ?? 'unknown',
      operatingSystem: os?.name ?? null,
      osVersion: text('os_version') ?? os?.version ?? null,
      cpuCores: typed('cpu_cores', readCores),
      memoryGb: typed('memory_gb', (v) => readGigabytes(v, units.get('memory_gb') ?? null, MEMORY_MB_ABOVE)),
      storageGb: typed('storage_gb', (v) =>
        readGigabytes(v, units.get('storage_gb') ?? null, STORAGE_MB_ABOVE),
      ),
      application,
      businessOwner: text('business_owner'),
      criticality: typed('criticality', readCriticality),
      location: text('location'),
      dependencies: list(text('dependencies')),
      technology: list(text('technology')),
      endOfSupport: typed('end_of_support', readDate),
      notes: text('notes'),
    } as const
    return { id: identityOf(part), ...part, rows: [row.row], rowCount: 1, issues }
  }
}

/** One line of text: well-formed, single spaces, no control characters, at most `MAX_TEXT`. */
function clean(value: string): string {
  return value
    .normalize('NFC')
    .replace(/[\p{Cc}\s]+/gu, ' ')
    .trim()
    .slice(0, MAX_TEXT)
    .toWellFormed()
}

function readHost(value: string): string | null {
  const host = value.toLowerCase().replace(/\.$/, '')
  return HOST.test(host) && !IPV4.test(host) ? host : null
}

/** The first address of a list, without its network length. */
function readAddress(value: string): string | null {
  const address = (value.split(/[\s,;/]+/)[0] ?? '').toLowerCase()
  if (IPV4.test(address)) return address.split('.').map(Number).join('.')
  return IPV6.test(address) ? address : null
}

function list(value: string | null): string[] {
  if (value === null) return []
  const parts = value
    .split(/[;,|]+| \/ /)
    .map((part) => part.trim())
    .filter((part) => part !== '' && !EMPTY.test(part))
  return [...new Set(parts)].slice(0, MAX_LIST)
}
