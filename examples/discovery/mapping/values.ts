import type { Attribute } from './attributes.js'

/** How well the values of a column fit an attribute, 0 to 1, and why. */
export interface ValueMatch {
  readonly score: number
  readonly reason: string
  /** True if values of this attribute have a form that others do not have: then a misfit speaks against it. */
  readonly strict: boolean
}

/** What is known about a column's values. */
export interface ColumnValues {
  /** Values that are not empty, in order of appearance. */
  readonly values: readonly string[]
  /** Share of different ones among them, 0 to 1. */
  readonly distinct: number
}

interface Recogniser {
  readonly says: string
  readonly test: RegExp
  /** Confidence that a column full of such values deserves by itself. */
  readonly weight: number
  readonly strict: boolean
  /** Share of different values, from which to which. */
  readonly distinct?: readonly [number, number]
}

const IP =
  /^\s*((25[0-5]|2[0-4]\d|1?\d?\d)(\.(25[0-5]|2[0-4]\d|1?\d?\d)){3}(\/\d{1,2})?|[0-9a-f]{0,4}(:[0-9a-f]{0,4}){2,7})\s*$/i
const DATE =
  /^\s*(\d{4}[-/.]\d{1,2}([-/.]\d{1,2})?([T ].*)?|\d{1,2}[./-]\d{1,2}[./-]\d{2,4}|(\d{1,2}[ -])?[a-zä]{3,9}\.?[ -]\d{2,4}|[a-z]{3,9} \d{1,2}, \d{4})\s*$/i

/** One row an attribute: the form of its values. Attributes that any text may be are known by their header alone. */
const RECOGNISERS: Partial<Record<Attribute, Recogniser>> = {
  ip_address: { says: 'IP addresses', test: IP, weight: 0.95, strict: true },
  hostname: {
    says: 'host names',
    test: /^(?=[^\s]*[0-9-])[a-z][a-z0-9-]{2,62}(\.[a-z0-9-]+)*$/i,
    weight: 0.6,
    strict: false,
    distinct: [0.4, 1],
  },
  environment: {
    says: 'environments',
    test: /^\s*(prod(uction|uktion|uktiv)?|prd|live|test(ing)?|tst|dev(elopment)?|entwicklung|stag(e|ing)|stg|uat|qa|qas|int(egration)?|pre-?prod|dr|disaster recovery|sandbox|non-?prod|abnahme)\.?\s*$/i,
    weight: 0.9,
    strict: true,
  },
  operating_system: {
    says: 'operating systems',
    test: /windows|win ?(20|srv|server)|linux|ubuntu|debian|rhel|red ?hat|suse|sles|centos|rocky|alma|aix|solaris|hp-?ux|esxi?|z\/?os|macos|os\/400|ibm i/i,
    weight: 0.85,
    strict: true,
  },
  os_version: {
    says: 'version numbers',
    test: /^\s*v?\d+(\.\d+){0,3}( ?(r2|sp ?\d|lts|tl\d+))*\s*$/i,
    weight: 0.15,
    strict: true,
  },
  type: {
    says: 'kinds of asset',
    test: /^\s*(physical |virtual |web |app(lication)? |database |db )*(server|vm|virtual machine|host|database|db|application|app|anwendung|datenbank|switch|router|firewall|network( device)?|load ?balancer|storage|san|nas|container|appliance|mainframe|virtual|physical)\s*$/i,
    weight: 0.85,
    strict: true,
  },
  cpu_cores: {
    says: 'small whole numbers',
    test: /^\s*(\d{1,3}|\d+ ?x ?\d+)( ?(v?cpus?|cores?|kerne))?\s*$/i,
    weight: 0.2,
    strict: true,
  },
  memory_gb: {
    says: 'amounts of memory',
    test: /^\s*\d+([.,]\d+)* ?(gi?b?|mi?b?|ti?b?)?( ram)?\s*$/i,
    weight: 0.2,
    strict: true,
  },
  storage_gb: {
    says: 'amounts of storage',
    test: /^\s*\d+([.,]\d+)* ?(gi?b?|mi?b?|ti?b?)?\s*$/i,
    weight: 0.2,
    strict: true,
  },
  criticality: {
    says: 'levels of criticality',
    test: /^\s*(very )?(low|medium|med|moderate|high|critical|mission[- ]critical|business[- ]critical|niedrig|mittel|hoch|kritisch|tier ?[0-4]|p[1-5]|gold|silver|bronze|[1-5] ?- ?.*)\s*$/i,
    weight: 0.85,
    strict: true,
  },
  business_owner: {
    says: 'people or mail addresses',
    test: /^\s*(\S+@\S+\.\S+|\p{Lu}\p{L}+,? (\p{Lu}\.? )?\p{Lu}[\p{L}'-]+)\s*$/u,
    weight: 0.5,
    strict: false,
  },
  location: {
    says: 'sites',
    test: /^\s*((dc|rz)[ -]?\w+|data ?cent(er|re) .*|rechenzentrum .*|(eu|us|ap)-[a-z]+-\d.*|.*\b(frankfurt|munich|münchen|zürich|zurich|berlin|hamburg|london|paris|vienna|wien|dublin|amsterdam|new york|dallas|singapore|tokyo|köln|cologne)\b.*)\s*$/i,
    weight: 0.6,
    strict: false,
  },
  technology: {
    says: 'technologies',
    test: /\b(java|j2ee|spring|\.net|asp|php|python|node(\.js)?|cobol|oracle|sql server|mssql|mysql|mariadb|postgres(ql)?|mongodb|db2|sap|tomcat|jboss|websphere|weblogic|iis|nginx|apache|vb6|delphi|abap|docker|kafka|redis|elasticsearch|c\+\+|ruby|exchange|sharepoint)\b/i,
    weight: 0.7,
    strict: false,
  },
  end_of_support: { says: 'dates', test: DATE, weight: 0.35, strict: true },
  asset_id: {
    says: 'numbered codes',
    test: /^\s*[a-z]{1,6}[-_]?\d{3,}\s*$/i,
    weight: 0.4,
    strict: false,
    distinct: [0.5, 1],
  },
}

/** What the values say; null where they say nothing about this attribute. */
export function matchValues(column: ColumnValues, attribute: Attribute): ValueMatch | null {
  const recogniser = RECOGNISERS[attribute]
  if (recogniser === undefined || column.values.length === 0) return null
  const share = column.values.filter((value) => recogniser.test.test(value)).length / column.values.length
  const [least, most] = recogniser.distinct ?? [0, 1]
  const fits = column.distinct >= least && column.distinct <= most
  const reason = `${Math.round(share * 100)} % of the values look like ${recogniser.says}`
  return { score: fits ? share * recogniser.weight : 0, reason, strict: recogniser.strict && share < 0.3 }
}

/** Share of the parts of a column's values, cut at list separators, that are values of other columns. */
export function matchReferences(
  column: ColumnValues,
  isElsewhere: (value: string) => boolean,
): ValueMatch | null {
  let parts = 0
  let known = 0
  const listed = column.values.filter((value) => /[;,|\n]/.test(value)).length
  if (listed / Math.max(1, column.values.length) < 0.1) return null
  for (const value of column.values) {
    const list = value.split(/[;,|\n]+/).map((part) => part.trim().toLowerCase())
    for (const part of list) {
      if (part === '') continue
      parts++
      if (isElsewhere(part)) known++
    }
  }
  if (parts === 0) return null
  const share = known / parts
  return {
    score: share * 0.8,
    reason: `${Math.round(share * 100)} % of the listed names are other assets`,
    strict: false,
  }
}
