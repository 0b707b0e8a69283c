import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import type { Asset } from '../../examples/discovery/assets/asset.js'
import { readDate } from '../../examples/discovery/assets/dates.js'
import { mergeAssets } from '../../examples/discovery/assets/identity.js'
import {
  headerUnit,
  readCores,
  readGigabytes,
  readNumber,
} from '../../examples/discovery/assets/quantities.js'
import { AssetStore } from '../../examples/discovery/assets/store.js'
import {
  readCriticality,
  readEnvironment,
  readSystem,
  readType,
} from '../../examples/discovery/assets/vocabulary.js'
import { assetOf } from './assets.js'
import { testFile } from './tables.js'

describe('a value', () => {
  it.each([
    ['16 GB', 16],
    ['16GB', 16],
    ['16384 MB', 16],
    ['16.384 MB', 16],
    ['1,5 TB', 1536],
    ['16384', 16],
    ['64', 64],
    ['0.512 TB', 524.29],
    ['8,0 GiB', 8],
    ['2 GB RAM', 2],
    ['much', null],
    ['-4 GB', null],
    ['', null],
  ])('of memory: %j is %j GB', (text, gigabytes) => {
    expect(readGigabytes(text, null, 4096)).toBe(gigabytes)
  })

  it.each([
    ['1.024', 1024],
    ['1,024', 1024],
    ['1.5', 1.5],
    ['1,5', 1.5],
    ['1.024,5', 1024.5],
    ['1,024.5', 1024.5],
    ["1'024", 1024],
    ['1 024', 1024],
    ['1.024.000', 1024000],
    ['0.512', 0.512],
    ['x', null],
  ])('as a number: %j is %j', (text, value) => {
    expect(readNumber(text)).toBe(value)
  })

  it('takes its unit from the header', () => {
    expect(headerUnit('Memory (MB)')).toBe('m')
    expect(headerUnit('memoryMB')).toBe('m')
    expect(headerUnit('Disk_GB')).toBe('g')
    expect(headerUnit('RAM')).toBeNull()
    expect(readGigabytes('2048', 'm', 4096)).toBe(2)
  })

  it.each([
    ['8', 8],
    ['8 vCPU', 8],
    ['2 x 8', 16],
    ['4 Kerne', 4],
    ['0', null],
    ['many', null],
  ])('of cores: %j is %j', (text, cores) => {
    expect(readCores(text)).toBe(cores)
  })

  it.each([
    ['2024-02-29', '2024-02-29'],
    ['2023-02-29', null],
    ['29.02.2024', '2024-02-29'],
    ['1.5.24', '2024-05-01'],
    ['05/01/2024', '2024-05-01'],
    ['31/12/2024', '2024-12-31'],
    ['Oct 2026', '2026-10-31'],
    ['14-Jan-2020', '2020-01-14'],
    ['3. März 2025', '2025-03-03'],
    ['Dez 2025', '2025-12-31'],
    ['2024-05', '2024-05-31'],
    ['2025', '2025-12-31'],
    ['2024-05-01T10:00:00Z', '2024-05-01'],
    ['May 3, 2024', '2024-05-03'],
    ['soon', null],
    ['99.99.2024', null],
  ])('as a date: %j is %j', (text, day) => {
    expect(readDate(text)).toBe(day)
  })

  it('never breaks on any text', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'binary', maxLength: 40 }), (text) => {
        const day = readDate(text)
        expect(day === null || !Number.isNaN(Date.parse(day))).toBe(true)
        const gigabytes = readGigabytes(text, null, 4096)
        expect(gigabytes === null || gigabytes >= 0).toBe(true)
        readSystem(text)
      }),
    )
  })

  it.each([
    ['Windows Server 2012 R2', 'Windows Server', '2012 R2'],
    ['Win2008R2', 'Windows Server', '2008R2'],
    ['rhel 7.9', 'Red Hat Enterprise Linux', '7.9'],
    ['SLES 12 SP5', 'SUSE Linux Enterprise', '12 SP5'],
    ['Ubuntu 22.04 LTS', 'Ubuntu', '22.04'],
    ['AIX', 'AIX', null],
    ['Solaris 10', 'Solaris', '10'],
    ['BeOS', 'BeOS', null],
  ])('as a system: %j is %j %j', (text, name, version) => {
    expect(readSystem(text)).toEqual({ name, version })
  })

  it('as a word is one of a few', () => {
    expect(['PROD', 'Produktion', 'live', 'prd'].map(readEnvironment)).toEqual(Array(4).fill('production'))
    expect(['UAT', 'pre-prod', 'staging', 'non-prod', 'DR', 'Entwicklung', 'x'].map(readEnvironment)).toEqual(
      ['staging', 'staging', 'staging', 'test', 'disaster_recovery', 'development', null],
    )
    expect(['DB Server', 'web server', 'VM', 'Firewall', 'Anwendung', 'x'].map(readType)).toEqual([
      'database',
      'server',
      'virtual_machine',
      'network',
      'application',
      null,
    ])
    expect(['Mission Critical', 'hoch', 'Tier 3', 'P5', 'x'].map(readCriticality)).toEqual([
      'critical',
      'high',
      'medium',
      'low',
      null,
    ])
  })
})

describe('an asset', () => {
  it('is typed; what cannot be read is named with its row', () => {
    const asset = assetOf(
      {
        hostname: 'SRV-01.Corp.Local',
        ip_address: '10.0.0.300',
        memory_gb: 'plenty',
        operating_system: 'RHEL 8.6',
        environment: ' PROD ',
        dependencies: 'a; b, a',
      },
      7,
    )
    expect(asset).toMatchObject({
      id: 'host:srv-01',
      name: 'srv-01.corp.local',
      hostname: 'srv-01.corp.local',
      ipAddress: null,
      memoryGb: null,
      type: 'server',
      environment: 'production',
      operatingSystem: 'Red Hat Enterprise Linux',
      osVersion: '8.6',
      dependencies: ['a', 'b'],
    })
    expect(asset.issues).toEqual([
      { row: 7, attribute: 'ip_address', value: '10.0.0.300' },
      { row: 7, attribute: 'memory_gb', value: 'plenty' },
    ])
  })

  it('is known by the first thing that identifies it', () => {
    expect(assetOf({ hostname: 'SRV-01.corp.local', name: 'x' }).id).toBe('host:srv-01')
    expect(assetOf({ ip_address: '10.0.0.5', name: 'x' }).id).toBe('ip:10.0.0.5')
    expect(assetOf({ name: 'Big  Box', environment: 'prod', type: 'switch' }).id).toBe(
      'name:big box:network:production',
    )
    expect(assetOf({ type: 'Application', name: 'CRM', hostname: 'srv-01', environment: 'test' }).id).toBe(
      'app:crm:test',
    )
    expect(() => assetOf({ memory_gb: '4' })).toThrow('identifies nothing')
    expect(() => assetOf({ name: 'N/A', hostname: '-' })).toThrow('identifies nothing')
  })

  it('merges: the later row counts, gaps are filled, lists are joined, the longer host name stays', () => {
    const merged = mergeAssets(
      assetOf({ hostname: 'srv-01.corp.local', criticality: 'low', memory_gb: '8', dependencies: 'a' }, 2),
      assetOf({ hostname: 'SRV-01', criticality: 'high', dependencies: 'A; b', business_owner: 'Bo Li' }, 9),
    )
    expect(merged).toMatchObject({
      id: 'host:srv-01',
      hostname: 'srv-01.corp.local',
      name: 'srv-01.corp.local',
      criticality: 'high',
      memoryGb: 8,
      dependencies: ['a', 'b'],
      businessOwner: 'Bo Li',
      rows: [2, 9],
      rowCount: 2,
    })
  })
})

describe('the store of assets', () => {
  it('holds what a plain map holds, also when it is opened again at any earlier place', async () => {
    const host = fc.integer({ min: 0, max: 12 })
    const steps = fc.array(
      fc.record({ host, memory: fc.integer({ min: 1, max: 99 }), flush: fc.boolean() }),
      { minLength: 1, maxLength: 60 },
    )
    await fc.assert(
      fc.asyncProperty(steps, fc.nat(), async (list, pick) => {
        const path = await testFile('')
        const model = new Map<string, Asset>()
        const cut = pick % list.length
        let store = await AssetStore.open(path, 0)
        let kept = { length: 0, model: new Map(model) }
        const play = async (from: number) => {
          for (const [i, { host, memory, flush }] of list.entries()) {
            if (i < from) continue
            if (i === cut) {
              await store.sync()
              kept = { length: store.length, model: new Map(model) }
            }
            const asset = assetOf(
              { hostname: `srv-${host}`, memory_gb: String(memory), notes: 'é'.repeat(memory * 40) },
              i,
            )
            const before = model.get(asset.id)
            model.set(asset.id, before === undefined ? asset : mergeAssets(before, asset))
            expect(await store.upsert(asset)).toEqual({
              asset: model.get(asset.id),
              added: before === undefined,
            })
            if (flush) await store.flush()
          }
        }
        await play(0)
        await store.close()
        store = await AssetStore.open(path, kept.length)
        model.clear()
        for (const [id, asset] of kept.model) model.set(id, asset)
        await play(cut)
        await store.sync()
        const newest: Asset[] = []
        for await (const batch of store.newest()) newest.push(...batch)
        expect(new Map(newest.map((asset) => [asset.id, asset]))).toEqual(model)
        expect(newest).toHaveLength(model.size)
        await store.close()
      }),
      { numRuns: 40 },
    )
  })
})
