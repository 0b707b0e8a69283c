import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { assess } from '../../examples/discovery/analysis/assess.js'
import { Directory, referencesOf } from '../../examples/discovery/analysis/references.js'
import { RULES, TREATMENTS } from '../../examples/discovery/analysis/rules.js'
import { supportEnd } from '../../examples/discovery/analysis/support.js'
import type { Attribute } from '../../examples/discovery/mapping/attributes.js'
import { ATTRIBUTE_NAMES } from '../../examples/discovery/mapping/attributes.js'
import { assetOf } from './assets.js'

type Values = Partial<Record<Attribute, string>>
const judge = (values: Values, dependents = 0) =>
  assess({
    asset: assetOf({ hostname: 'srv-1', ...values }),
    dependents,
    dependencies: 0,
    asOf: '2026-01-18',
  })

describe('a suggested treatment', () => {
  it.each([
    ['rehost', 'supported-compute', { operating_system: 'Windows Server 2022', environment: 'prod' }, 0],
    [
      'replatform',
      'out-of-support',
      { operating_system: 'RHEL 7.9', environment: 'prod', criticality: 'high' },
      0,
    ],
    [
      'replatform',
      'managed-database',
      { type: 'database', technology: 'PostgreSQL', operating_system: 'Debian 12' },
      0,
    ],
    [
      'refactor',
      'portable-code',
      { technology: 'Java; Spring', criticality: 'critical', operating_system: 'RHEL 9.1' },
      0,
    ],
    [
      'rearchitect',
      'own-platform',
      { operating_system: 'AIX 7.2', criticality: 'high', environment: 'prod' },
      0,
    ],
    ['rearchitect', 'old-code', { technology: 'COBOL', type: 'application', name: 'Ledger' }, 0],
    ['rearchitect', 'hub', { technology: 'COBOL', criticality: 'high', environment: 'prod' }, 8],
    ['replace', 'commodity', { type: 'application', name: 'x', application: 'SharePoint' }, 0],
    ['replace', 'hardware', { type: 'Firewall' }, 0],
    ['retire', 'abandoned', { operating_system: 'RHEL 9', notes: 'Wurde stillgelegt' }, 0],
    ['retire', 'leftover', { operating_system: 'CentOS 6.5', environment: 'dev', criticality: 'low' }, 0],
  ])('is %s by %s', (treatment, rule, values: Values, dependents) => {
    const found = judge(values, dependents)
    expect(found.treatment).toBe(treatment)
    expect(found.reasons.filter((reason) => reason.points > 0).map((reason) => reason.rule)).toContain(rule)
  })

  it('is explained by its reasons alone: their points are its score', () => {
    const value = fc.constantFrom(
      '',
      'prod',
      'dev',
      'COBOL',
      'Java',
      'AIX 7.2',
      'RHEL 6',
      'Windows Server 2022',
      'high',
      'low',
      'database',
      'switch',
      'Exchange',
      'stillgelegt',
      '1 TB',
      '2020-01-01',
    )
    fc.assert(
      fc.property(
        fc.record(Object.fromEntries(ATTRIBUTE_NAMES.map((name) => [name, value]))),
        fc.nat(20),
        (values, dependents) => {
          const found = judge({ ...values, hostname: 'srv-1' }, dependents)
          const score = found.reasons.reduce((sum, reason) => sum + reason.points, 0)
          expect(score).toBe(found.scores[found.treatment])
          expect(Math.max(...Object.values(found.scores))).toBe(score)
          expect(found.reasons.some((reason) => reason.points > 0)).toBe(true)
          expect(TREATMENTS).toContain(found.treatment)
        },
      ),
    )
  })

  it('knows when a thing is still supported', () => {
    const before = assess({
      asset: assetOf({ hostname: 'a1', operating_system: 'RHEL 7.9' }),
      dependents: 0,
      dependencies: 0,
      asOf: '2024-06-29',
    })
    expect(before.treatment).toBe('rehost')
    expect(judge({ operating_system: 'RHEL 9', end_of_support: '2020-01-01' }).reasons[0]?.text).toBe(
      'support ended on 2020-01-01 (the file): the platform under it has to change',
    )
    expect(supportEnd('Ubuntu', '18.04')).toBe('2023-05-31')
    expect(supportEnd('BeOS', '5')).toBeNull()
  })

  it('comes from rules with names of their own', () => {
    expect(new Set(RULES.map((rule) => rule.id)).size).toBe(RULES.length)
  })
})

describe('dependencies', () => {
  const assets = [
    assetOf({
      hostname: 'app-01.corp.local',
      dependencies: 'DB-01, 10.0.0.9; jdbc:oracle:thin:@db-02.corp:1521, Ledger, ghost',
    }),
    assetOf({ hostname: 'db-01', ip_address: '10.0.0.8' }),
    assetOf({ hostname: 'nas-1', ip_address: '10.0.0.9', notes: 'mirrors app-01.corp.local, not the web' }),
    assetOf({ hostname: 'db-02', asset_id: 'A-77' }),
    assetOf({ type: 'application', name: 'Ledger', hostname: 'db-01', dependencies: 'a-77; ledger' }),
    assetOf({ hostname: 'web' }),
  ]
  const directory = new Directory()
  for (const asset of assets) directory.add(asset)
  const found = assets.map((asset, i) => referencesOf(asset, i, directory))

  it('are found by name, host name, address, connection text and asset number', () => {
    expect(found[0]?.edges).toEqual(
      ['host:db-01', 'host:nas-1', 'host:db-02', 'app:ledger:unknown'].map((to) => ({
        from: 'host:app-01',
        to,
        kind: 'depends_on',
      })),
    )
    expect(found[0]?.unresolved).toEqual(['ghost'])
  })

  it('are found in notes and between an application and its host, never to itself', () => {
    expect(found[2]?.edges).toEqual([{ from: 'host:nas-1', to: 'host:app-01', kind: 'mentions' }])
    expect(found[4]?.edges).toEqual([
      { from: 'app:ledger:unknown', to: 'host:db-02', kind: 'depends_on' },
      { from: 'app:ledger:unknown', to: 'host:db-01', kind: 'runs_on' },
    ])
    expect(found[5]?.edges).toEqual([])
  })
})
