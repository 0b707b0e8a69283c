import type { Asset } from '../assets/asset.js'
import { supportEnd } from './support.js'

/** The six ways to treat an asset in a migration; of two with the same points the earlier is suggested. */
export const TREATMENTS = ['rehost', 'replatform', 'refactor', 'rearchitect', 'replace', 'retire'] as const
export type Treatment = (typeof TREATMENTS)[number]
export type Points = Readonly<Partial<Record<Treatment, number>>>

/** What the rules look at. */
export interface Case {
  readonly asset: Asset
  /** How many others depend on it, and on how many it depends. */
  readonly dependents: number
  readonly dependencies: number
  /** ISO day that support is measured against. */
  readonly asOf: string
}

export interface Rule {
  readonly id: string
  /** When it applies, for the documentation. */
  readonly when: string
  readonly points: Points
  /** The reason in words, or null where the rule does not apply. */
  readonly reason: (subject: Case) => string | null
}

const COMMODITY =
  /\b(exchange|sharepoint|lotus|notes|domino|jira|confluence|bugzilla|service ?now|remedy|helpdesk|ticket\w*|crm|siebel|payroll|lohn\w*|time ?tracking|zeiterfassung|wiki|file ?server|fileserver|print ?server|intranet|backup)\b/i
const MANAGED_DATABASE =
  /\b(oracle( db| database)?|sql server|mssql|mysql|mariadb|postgres(ql)?|db2|mongodb|redis|cassandra|sybase)\b/i
const OLD_CODE =
  /\b(cobol|fortran|rpg|pl\/?1|vb6|visual basic|classic asp|delphi|powerbuilder|foxpro|oracle forms|perl|natural|java ?[1-7]\b|php ?[45]|\.net (framework )?[123])/i
const PORTABLE_CODE =
  /\b(java|spring( boot)?|node(\.js)?|python|go(lang)?|\.net( core)?|ruby|php|kotlin|tomcat|nginx|docker)\b/i
const OWN_PLATFORM = /^(AIX|Solaris|HP-UX|z\/OS|IBM i)$/
const ABANDONED =
  /\b(decommission\w*|obsolete|retired?|to be (shut|switched) (down|off)|end of use|not (used|in use)|unused|stillgelegt|abgeschaltet|abgelöst|ausser betrieb|außer betrieb|wird abgelöst)\b/i
const CLOUD_LINUX = /Linux|Ubuntu|Debian|CentOS|SUSE|Windows Server|AlmaLinux/

const isProduction = (asset: Asset) =>
  asset.environment === 'production' || asset.environment === 'disaster_recovery'
const isCompute = (asset: Asset) => ['server', 'virtual_machine', 'container'].includes(asset.type)
const first = (form: RegExp, ...texts: (string | null)[]) =>
  texts.map((text) => form.exec(text ?? '')?.[0]).find((hit) => hit !== undefined)
const stack = (asset: Asset) => asset.technology.join(', ')

/** When support ends: as the file says, else as the table of operating systems says. */
function endOfSupport(asset: Asset): { day: string; by: string } | null {
  if (asset.endOfSupport !== null) return { day: asset.endOfSupport, by: 'the file' }
  const day = supportEnd(asset.operatingSystem, asset.osVersion)
  return day === null ? null : { day, by: `${asset.operatingSystem} ${asset.osVersion}` }
}

const outOfSupport = ({ asset, asOf }: Case) => {
  const end = endOfSupport(asset)
  return end !== null && end.day <= asOf ? end : null
}

export const RULES: readonly Rule[] = [
  {
    id: 'as-it-is',
    when: 'always',
    points: { rehost: 1 },
    reason: () => 'moving as it is costs least, unless something speaks against it',
  },
  {
    id: 'supported-compute',
    when: 'a server on a supported operating system that clouds offer',
    points: { rehost: 3 },
    reason: (c) =>
      isCompute(c.asset) && CLOUD_LINUX.test(c.asset.operatingSystem ?? '') && outOfSupport(c) === null
        ? `${c.asset.operatingSystem} runs in a cloud as it is`
        : null,
  },
  {
    id: 'out-of-support',
    when: 'support has ended on the day of the analysis',
    points: { replatform: 4, rehost: -2 },
    reason: (c) => {
      const end = outOfSupport(c)
      return end === null
        ? null
        : `support ended on ${end.day} (${end.by}): the platform under it has to change`
    },
  },
  {
    id: 'managed-database',
    when: 'a database of a make that clouds offer as a service',
    points: { replatform: 4 },
    reason: ({ asset }) => {
      if (asset.type !== 'database' && asset.application !== null) return null
      const make = first(MANAGED_DATABASE, stack(asset), asset.name, asset.application)
      return make === undefined ? null : `${make} is offered as a managed service`
    },
  },
  {
    id: 'own-platform',
    when: 'the operating system runs only on its maker’s machines',
    points: { rearchitect: 5, rehost: -4 },
    reason: ({ asset }) =>
      OWN_PLATFORM.test(asset.operatingSystem ?? '') || asset.type === 'mainframe'
        ? `${asset.operatingSystem ?? 'a mainframe'} does not run on a usual cloud machine`
        : null,
  },
  {
    id: 'old-code',
    when: 'written in a language or release that is no longer maintained',
    points: { refactor: 3, rearchitect: 4, rehost: -1 },
    reason: ({ asset }) => {
      const code = first(OLD_CODE, stack(asset))
      return code === undefined ? null : `${code} finds few people and few platforms`
    },
  },
  {
    id: 'portable-code',
    when: 'an important application or its server in a language that runs in containers',
    points: { refactor: 5 },
    reason: ({ asset }) => {
      if (asset.criticality !== 'critical' && asset.criticality !== 'high') return null
      if (first(OLD_CODE, stack(asset)) !== undefined) return null
      const code = first(PORTABLE_CODE, stack(asset))
      return code === undefined
        ? null
        : `${code} runs in containers, and ${asset.criticality} criticality repays the work`
    },
  },
  {
    id: 'commodity',
    when: 'software that is bought as a service today',
    points: { replace: 5 },
    reason: ({ asset }) => {
      const kind = first(
        COMMODITY,
        asset.application,
        stack(asset),
        asset.type === 'application' ? asset.name : null,
      )
      return kind === undefined ? null : `${kind} is bought as a service today`
    },
  },
  {
    id: 'hardware',
    when: 'a network or storage device',
    points: { replace: 5, rehost: -2 },
    reason: ({ asset }) =>
      asset.type === 'network' || asset.type === 'storage'
        ? `a ${asset.type} device does not move; a cloud service takes its place`
        : null,
  },
  {
    id: 'hub',
    when: 'eight or more others depend on it and it is important',
    points: { rearchitect: 3 },
    reason: ({ asset, dependents }) =>
      dependents >= 8 && (asset.criticality === 'critical' || asset.criticality === 'high')
        ? `${dependents} others depend on it: its interfaces have to be thought through`
        : null,
  },
  {
    id: 'large',
    when: 'more than 512 GB of memory or 64 cores',
    points: { replatform: 1, rearchitect: 1, rehost: -1 },
    reason: ({ asset }) =>
      (asset.memoryGb ?? 0) > 512 || (asset.cpuCores ?? 0) > 64
        ? 'larger than the usual machine of a cloud'
        : null,
  },
  {
    id: 'abandoned',
    when: 'its notes say that it is out of use',
    points: { retire: 8 },
    reason: ({ asset }) => {
      const hit = first(ABANDONED, asset.notes)
      return hit === undefined ? null : `its notes say "${hit}"`
    },
  },
  {
    id: 'leftover',
    when: 'not in production, out of support, not important, and nothing depends on it',
    points: { retire: 5 },
    reason: (c) =>
      !isProduction(c.asset) &&
      c.asset.environment !== 'unknown' &&
      outOfSupport(c) !== null &&
      c.dependents === 0 &&
      c.asset.criticality !== 'critical' &&
      c.asset.criticality !== 'high'
        ? `${c.asset.environment} system out of support on which nothing depends`
        : null,
  },
]
