import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { makeSample } from '../../examples/discovery/data/make-sample.js'
import { checkIdentity, correctMapping } from '../../examples/discovery/mapping/correct.js'
import { editDistance, matchName, words } from '../../examples/discovery/mapping/headers.js'
import { mappingOf, proposeMapping } from '../../examples/discovery/mapping/propose.js'
import { readAll, testFile } from './tables.js'

/** Values for one asset attribute each, as files have them. */
const VALUES = {
  hostname: ['srv-web-01', 'srv-db-02', 'app03.corp.local', 'sap-prd-04', 'nas-05'],
  ip_address: ['10.1.2.3', '10.1.2.4', '192.168.0.9', '172.16.4.1', '10.0.0.77'],
  environment: ['PROD', 'Test', 'prod', 'DEV', 'UAT'],
  operating_system: ['RHEL 7.9', 'Windows Server 2016', 'Ubuntu 20.04', 'AIX 7.2', 'SLES 12'],
  criticality: ['High', 'low', 'Medium', 'critical', 'high'],
  cpu_cores: ['2', '4', '8', '16', '4'],
  memory_gb: ['16 GB', '32 GB', '8 GB', '64GB', '4096 MB'],
  business_owner: ['Anna Weiß', 'Jürgen Müller', 'it@example.com', 'Ana Lopez', 'Bo Li'],
  location: ['Frankfurt', 'DC-02', 'München', 'Frankfurt', 'RZ 1'],
  technology: ['Java; Oracle', 'Node.js', '.NET; SQL Server', 'COBOL', 'PHP'],
  end_of_support: ['2024-01-31', '31.12.2025', 'Oct 2026', '2027-06-30', '2023-05-01'],
  dependencies: ['srv-db-02, nas-05', 'srv-web-01; sap-prd-04', '', 'srv-db-02', 'nas-05,srv-web-01'],
} as const

type Key = keyof typeof VALUES
const KEYS = Object.keys(VALUES) as Key[]

function table(headers: Partial<Record<Key, string>>) {
  const keys = KEYS.filter((key) => headers[key] !== undefined)
  const rows = [0, 1, 2, 3, 4].map((i) => keys.map((key) => VALUES[key][i] ?? ''))
  const proposals = proposeMapping(
    keys.map((key) => headers[key] ?? ''),
    rows,
  )
  return Object.fromEntries(keys.map((key, i) => [key, proposals[i]?.attribute ?? null]))
}

const right = (headers: Partial<Record<Key, string>>) =>
  Object.fromEntries(Object.keys(headers).map((key) => [key, key]))

describe('the proposed mapping', () => {
  it.each([
    ['canonical names', Object.fromEntries(KEYS.map((key) => [key, key]))],
    [
      'a configuration database',
      {
        hostname: 'Server Name',
        ip_address: 'Primary IP Address',
        environment: 'u_environment',
        operating_system: 'OS Name',
        criticality: 'Business Criticality',
        cpu_cores: 'CPU count',
        memory_gb: 'RAM (GB)',
        business_owner: 'Owned by',
        location: 'Data Centre',
        technology: 'Tech stack',
        end_of_support: 'End of Life Date',
        dependencies: 'Depends On',
      },
    ],
    [
      'German',
      {
        hostname: 'Rechnername',
        ip_address: 'IP-Adresse',
        environment: 'Umgebung',
        operating_system: 'Betriebssystem',
        criticality: 'Kritikalität',
        cpu_cores: 'Anzahl CPU',
        memory_gb: 'Arbeitsspeicher',
        business_owner: 'Verantwortlicher',
        location: 'Standort',
        technology: 'Technologie',
        end_of_support: 'Supportende',
        dependencies: 'Abhängigkeiten',
      },
    ],
    [
      'camel case and shouting',
      {
        hostname: 'hostName',
        ip_address: 'IPAddress',
        environment: 'ENV',
        operating_system: 'operatingSystem',
        criticality: 'businessCriticality',
        cpu_cores: 'NUM_CPU',
        memory_gb: 'memoryMB',
        business_owner: 'businessOwner',
        location: 'dataCenter',
        technology: 'techStack',
        end_of_support: 'EOS_DATE',
        dependencies: 'dependsOn',
      },
    ],
    [
      'typing errors',
      {
        hostname: 'Hostnmae',
        ip_address: 'IP Adress',
        environment: 'Enviroment',
        operating_system: 'Operating Sytem',
        criticality: 'Critcality',
        memory_gb: 'Memroy',
        location: 'Locaton',
        dependencies: 'Dependancies',
      },
    ],
  ])('is right for %s', (_, headers: Partial<Record<Key, string>>) => {
    expect(table(headers)).toEqual(right(headers))
  })

  it('goes by the values where the headers say nothing', () => {
    const headers: Partial<Record<Key, string>> = {
      hostname: 'c1',
      ip_address: 'c2',
      environment: 'c3',
      operating_system: 'c4',
      criticality: 'c5',
      technology: 'c6',
      dependencies: 'c7',
    }
    expect(table(headers)).toEqual(right(headers))
  })

  it('does not believe a header whose values are something else', () => {
    const [proposal] = proposeMapping(['IP'], [['left'], ['right'], ['intellectual property']])
    expect(proposal).toMatchObject({ attribute: null, confidence: 0 })
  })

  it('gives each attribute to one column, the surest, and says why', () => {
    const rows = [
      ['10.0.0.1', '10.0.0.2'],
      ['10.0.0.3', '10.0.0.4'],
    ]
    const proposals = proposeMapping(['backup ip', 'IP address'], rows)
    expect(proposals.map((proposal) => proposal.attribute)).toEqual([null, 'ip_address'])
    expect(proposals[0]?.reasons).toEqual(['would fit ip_address, but "IP address" fits it better'])
    expect(proposals[1]?.reasons).toEqual([
      'the header reads "ip address"',
      '100 % of the values look like IP addresses',
    ])
    expect(proposals[1]?.samples).toEqual(['10.0.0.2', '10.0.0.4'])
  })

  it('is right for every column of the sample file', async () => {
    const { format, rows } = await readAll(await testFile(makeSample()))
    const mapping = mappingOf(
      proposeMapping(
        format.columns,
        rows.slice(0, 2000).map((row) => row.fields),
      ),
    )
    expect(mapping).toEqual({
      'Asset Tag': 'asset_id',
      'Display Name': 'name',
      'CI Type': 'type',
      'Host Name (FQDN)': 'hostname',
      'IP-Adresse': 'ip_address',
      'Env.': 'environment',
      OS: 'operating_system',
      vCPU: 'cpu_cores',
      RAM: 'memory_gb',
      'Disk (GB)': 'storage_gb',
      'Business Application': 'application',
      Owner: 'business_owner',
      Criticality: 'criticality',
      'Data Center': 'location',
      'Depends on': 'dependencies',
      'Tech Stack': 'technology',
      'EoS date': 'end_of_support',
      Bemerkungen: 'notes',
    })
  })

  it('holds for any headers and values: known attributes, each once, confidence between 0 and 1', () => {
    const text = fc.string({ unit: 'binary', maxLength: 20 })
    fc.assert(
      fc.property(
        fc.uniqueArray(text, { minLength: 1, maxLength: 8 }),
        fc.array(fc.array(text, { maxLength: 8 }), { maxLength: 10 }),
        (columns, rows) => {
          const proposals = proposeMapping(columns, rows)
          const taken = proposals.flatMap(({ attribute }) => attribute ?? [])
          expect(new Set(taken).size).toBe(taken.length)
          for (const { confidence, reasons } of proposals) {
            expect(confidence).toBeGreaterThanOrEqual(0)
            expect(confidence).toBeLessThan(1)
            expect(reasons.length).toBeGreaterThan(0)
          }
        },
      ),
    )
  })
})

describe('a header', () => {
  it('is read as words', () => {
    expect(words('IP-Adresse (v4)')).toEqual(['ip', 'adresse'])
    expect(words('hostName')).toEqual(['host', 'name'])
    expect(words('CIClass__Name')).toEqual(['ci', 'class', 'name'])
    expect(words('Größe')).toEqual(['grosse'])
  })

  it('is compared with transpositions as one error', () => {
    expect(editDistance('hostname', 'hostnmae')).toBe(1)
    expect(editDistance('', 'abc')).toBe(3)
    expect(matchName('Hostnmae', 'hostname')?.reason).toBe('the header looks like "hostname"')
  })
})

describe('a correction', () => {
  const proposed = { a: 'hostname', b: 'name', c: null } as const

  it('moves an attribute, and frees the column that had it', () => {
    expect(correctMapping(proposed, { mapping: { c: 'hostname' } })).toEqual({
      a: null,
      b: 'name',
      c: 'hostname',
    })
    expect(correctMapping(proposed, { mapping: { b: null } })).toEqual({ a: 'hostname', b: null, c: null })
    expect(correctMapping(proposed, { mapping: { a: 'name', b: 'hostname' } })).toEqual({
      a: 'name',
      b: 'hostname',
      c: null,
    })
  })

  it.each([
    ['no mapping', {}, 'MAPPING_INVALID'],
    ['no object', 'x', 'MAPPING_INVALID'],
    ['a list', { mapping: [] }, 'MAPPING_INVALID'],
    ['an unknown column', { mapping: { z: 'name' } }, 'MAPPING_INVALID'],
    ['an inherited name', { mapping: { toString: 'name' } }, 'MAPPING_INVALID'],
    ['an unknown attribute', { mapping: { a: 'constructor' } }, 'MAPPING_INVALID'],
    ['one attribute for two columns', { mapping: { a: 'name', c: 'name' } }, 'MAPPING_INVALID'],
    ['nothing that identifies', { mapping: { a: null, b: null } }, 'MAPPING_WITHOUT_IDENTITY'],
  ])('is refused: %s', (_, payload, code) => {
    expect(() => correctMapping(proposed, payload)).toThrow(expect.objectContaining({ code }))
  })

  it('may concern a column with a name of the language', () => {
    const columns = JSON.parse('{"__proto__": "name", "b": "hostname"}')
    expect(Object.entries(correctMapping(columns, JSON.parse('{"mapping": {"__proto__": null}}')))).toEqual([
      ['__proto__', null],
      ['b', 'hostname'],
    ])
    expect(() => checkIdentity({ b: 'type' })).toThrow(
      expect.objectContaining({ code: 'MAPPING_WITHOUT_IDENTITY' }),
    )
  })
})
