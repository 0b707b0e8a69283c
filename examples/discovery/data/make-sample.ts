// Makes sample-inventory.csv: an invented inventory with the dirt that real ones have. Nothing in it is real.
// The same seed gives the same bytes:  node dist/examples/discovery/data/make-sample.js [path]
import { writeFileSync } from 'node:fs'
import { pathToFileURL } from 'node:url'

const SEED = 20260118
const ROWS = 3000

/** A small seeded generator of numbers in [0, 1). */
function mulberry32(seed: number): () => number {
  let state = seed
  return () => {
    state = (state + 0x6d2b79f5) | 0
    let t = Math.imul(state ^ (state >>> 15), 1 | state)
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t
    return ((t ^ (t >>> 14)) >>> 0) / 4294967296
  }
}

const HEADER = [
  'Asset Tag', 'Display Name', 'CI Type', 'Host Name (FQDN)', 'IP-Adresse', 'Env.', 'OS', 'vCPU', 'RAM', 'Disk (GB)',
  'Business Application', 'Owner', 'Criticality', 'Data Center', 'Depends on', 'Tech Stack', 'EoS date', 'Bemerkungen',
]

const APPLICATIONS = [
  ['Order Management', 'Java 8; Oracle'], ['Web Shop', 'Node.js; Redis; nginx'], ['CRM', '.NET; SQL Server'], ['Data Warehouse', 'Oracle; Python'],
  ['Payroll', 'COBOL; DB2'], ['Intranet', 'SharePoint'], ['Ticketing', 'Jira'], ['Warehouse Control', 'Delphi; MSSQL'],
  ['Lagerverwaltung Süd', 'Java; PostgreSQL'], ['Kundenportal', 'Java; Spring; MySQL'], ['Billing', 'COBOL; DB2'], ['Mail', 'Exchange'],
  ['Customer Analytics', 'Python; Kafka; PostgreSQL'], ['Document Archive', 'Java 6; Oracle'], ['Zeiterfassung', 'Visual Basic; MSSQL'],
  ['Identity', 'Java; LDAP'], ['Monitoring', 'Go; Docker'], ['Production Planning', 'SAP; ABAP'], ['Fleet Tracking', 'Node.js; MongoDB'], ['Backup', ''],
] as const
const SYSTEMS = [
  'Windows Server 2012 R2', 'Windows Server 2016', 'windows server 2019', 'Windows Server 2022', 'Win2008R2', 'RHEL 7.9', 'Red Hat Enterprise Linux 8.6', 'rhel 9',
  'CentOS 7', 'Ubuntu 18.04 LTS', 'Ubuntu 22.04', 'SLES 12 SP5', 'SUSE Linux Enterprise Server 15', 'AIX 7.2', 'Solaris 10', 'Debian 11',
]
const ENVIRONMENTS = ['Production', 'PROD', 'prod', 'Prd', 'Test', 'TEST', 'Dev', 'development', 'UAT', 'Staging', 'Entwicklung', 'DR', '']
const OWNERS = ['Jürgen Müller', 'Anna Weiß', 'Søren Kjær', 'maria.lopez@example.com', 'Łukasz Nowak', 'IT Operations', 'Zoë Bär', 'François Lefèvre', '', 'tbd']
const SITES = ['DC Frankfurt', 'Frankfurt ', 'RZ München', 'Zürich', 'DC-02', 'Köln', 'frankfurt']
const CRITICALITIES = ['High', 'high', 'HIGH', 'Medium', 'medium', 'Low', 'low', 'critical', 'Mission Critical', 'hoch', '', 'n/a']
const NOTES = [...Array<string>(20).fill(''), 'to be decommissioned in Q3', 'stillgelegt', 'backup runs at night; see wiki', 'cluster mit %', 'connects to % on port 1521', 'says "do not touch"', '=SUM(A1:A9)']
const MONTHS = ['Jan', 'Feb', 'Mar', 'Apr', 'May', 'Jun', 'Jul', 'Aug', 'Sep', 'Oct', 'Nov', 'Dec']

/** The whole file as text. */
export function makeSample(rows = ROWS, seed = SEED): string {
  const random = mulberry32(seed)
  const whole = (below: number) => Math.floor(random() * below)
  const pick = <T>(list: readonly T[]): T | '' => list[whole(list.length)] ?? ''
  const chance = (share: number) => random() < share
  const hosts: string[] = []
  const lines: string[] = [HEADER.join(';')]
  const earlier: string[][] = []

  const memory = () => {
    const gigabytes = 2 ** (2 + whole(7))
    return pick([`${gigabytes} GB`, `${gigabytes}GB`, `${gigabytes * 1024} MB`, `${gigabytes}`, `${gigabytes},0 GB`, `${gigabytes} GiB`])
  }
  const date = () => {
    const [year, month, day] = [2018 + whole(14), 1 + whole(12), 1 + whole(28)]
    const [mm, dd] = [String(month).padStart(2, '0'), String(day).padStart(2, '0')]
    return pick([`${year}-${mm}-${dd}`, `${dd}.${mm}.${year}`, `${mm}/${dd}/${year}`, `${MONTHS[month - 1]} ${year}`, `${day}-${MONTHS[month - 1]}-${year}`, '', '', 'unknown'])
  }
  const row = (n: number): string[] => {
    const [application, stack] = APPLICATIONS[whole(APPLICATIONS.length)] ?? ['', '']
    const kind = pick(['Server', 'VM', 'virtual machine', 'server', 'VM', 'Database', 'DB Server', 'Application', 'Switch', 'Firewall', 'Storage', 'Physical Server', ''])
    const role = kind === 'Switch' ? 'sw' : kind === 'Firewall' ? 'fw' : kind === 'Storage' ? 'nas' : /D(ata)?B/i.test(kind) ? pick(['db', 'ora', 'sql']) : pick(['srv', 'web', 'app', 'vm'])
    const short = `${role}-${pick(['fra', 'muc', 'zrh'])}-${String(n).padStart(4, '0')}`
    const isApplication = kind === 'Application'
    const isDevice = kind === 'Switch' || kind === 'Firewall' || kind === 'Storage'
    const host = isApplication ? (hosts.length > 0 ? String(pick(hosts)) : '') : chance(0.03) ? '' : short
    if (!isApplication && host !== '') hosts.push(host)
    const written = chance(0.5) && host !== '' ? `${host}.corp.example` : chance(0.2) ? host.toUpperCase() : host
    const needs = hosts.length > 5 ? Array.from({ length: whole(4) }, () => String(chance(0.3) ? pick(hosts.slice(0, 12)) : pick(hosts))) : []
    if (chance(0.01)) needs.push('legacy-erp-01')
    return [
      chance(0.05) ? '' : `A-${String(100000 + n)}`,
      isApplication ? `${application}${chance(0.5) ? ` ${1 + whole(40)}` : ''}` : chance(0.3) ? `${application} ${short}` : short,
      kind, written,
      isApplication ? '' : chance(0.02) ? '10.20.300.1' : `10.${whole(40)}.${whole(256)}.${1 + whole(254)}`,
      String(pick(ENVIRONMENTS)),
      isApplication || isDevice ? '' : String(pick(SYSTEMS)),
      isApplication || isDevice ? '' : String(pick(['2', '4', '8', '16', '4 vCPU', '2 x 8', ''])),
      isApplication || isDevice ? '' : String(memory()),
      isApplication ? '' : String(pick(['100', '250', '500', '1.024', '2 TB', '80 GB', ''])),
      String(application), String(pick(OWNERS)), String(pick(CRITICALITIES)), String(pick(SITES)),
      needs.join(', '), isDevice ? '' : String(stack), String(date()), String(pick(NOTES)).replace('%', hosts.length > 0 ? String(pick(hosts)) : 'nothing'),
    ]
  }

  for (let n = 1; lines.length <= rows; n++) {
    const fields = row(n)
    const twin = chance(0.06) ? earlier[whole(earlier.length)] : undefined
    const written = twin === undefined ? fields : twin.map((field, i) => (i === 3 ? field.toLowerCase() : chance(0.3) ? field : (fields[i] ?? '')))
    if (twin !== undefined) for (const i of [1, 2]) written[i] = twin[i] ?? ''
    earlier.push(written)
    lines.push(dirty(written))
  }
  return `\ufeff${lines.join('\r\n')}\r\n`

  /** Now and then a row is broken in one of the ways in which rows are. */
  function dirty(fields: readonly string[]): string {
    const line = fields.map(quote).join(';')
    if (!chance(0.015)) return line
    return String(pick([line.replace(';', ''), `${line};extra`, '', ';'.repeat(HEADER.length - 1), line.replace(';', ';"'), fields.slice(0, 7).map(quote).join(';')]))
  }
}

function quote(field: string): string {
  return /[";\r\n]/.test(field) ? `"${field.replaceAll('"', '""')}"` : field
}

if (process.argv[1] !== undefined && import.meta.url === pathToFileURL(process.argv[1]).href) {
  writeFileSync(process.argv[2] ?? 'examples/discovery/data/sample-inventory.csv', makeSample())
}
