import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import type { FlowEvent } from '../../client/index.js'
import { ago, duration, words } from '../../dashboard/format.js'
import { FlowModel } from '../../dashboard/model/flow.js'
import { share } from '../../dashboard/model/phases.js'
import { Throughput } from '../../dashboard/model/throughput.js'

let seq = 0
const event = (type: string, payload: unknown, at = seq * 1000): FlowEvent => {
  seq += 1
  return { id: `1-${seq}`, flow: 'f', type, payload, source: 'test', timestamp: new Date(at).toISOString() }
}

const TYPES = [
  'phase_started',
  'phase_progress',
  'phase_completed',
  'rows_rejected',
  'mapping_proposed',
  'mapping_corrected',
  'mapping_refused',
  'mapping_confirmed',
  'asset_batch',
  'asset_summary',
  'dependency_found',
  'dependency_batch',
  'treatment_summary',
  'report_ready',
  'flow_completed',
  'flow_failed',
  'anything',
]
const NAMES = [
  'phase',
  'done',
  'total',
  'unit',
  'rows',
  'columns',
  'attributes',
  'mapping',
  'byType',
  'edges',
  'to',
  'kind',
  'url',
  'reason',
  'added',
  '__proto__',
  'constructor',
  'toString',
]
const payload = fc.oneof(
  fc.jsonValue(),
  fc.dictionary(
    fc.constantFrom(...NAMES),
    fc.oneof(fc.jsonValue(), fc.constantFrom('data_import', '__proto__', -1, 1e300)),
  ),
)

describe('the model of a flow', () => {
  test('takes any payload of any type and never fails or draws nonsense', () => {
    fc.assert(
      fc.property(fc.array(fc.tuple(fc.constantFrom(...TYPES), payload), { maxLength: 60 }), (events) => {
        const model = new FlowModel()
        for (const [type, value] of events) model.event(event(type, value))
        for (const phase of model.phases.all) {
          const part = share(phase)
          if (part !== undefined) expect(part >= 0 && part <= 1).toBe(true)
        }
        const { discovery } = model
        for (const [, count] of [
          ...discovery.byType,
          ...discovery.kinds,
          ...discovery.targets,
          ...discovery.treatments,
        ]) {
          expect(Number.isFinite(count) && count >= 0).toBe(true)
        }
        for (const value of discovery.throughput.line(30)) expect(Number.isFinite(value)).toBe(true)
      }),
      { numRuns: 400 },
    )
  })

  test('stays small however long the flow', () => {
    const model = new FlowModel()
    for (let n = 0; n < 20_000; n += 1) {
      model.event(event(`type ${n % 300}`, { n }))
      model.event(event('phase_started', { phase: `phase ${n}` }))
      model.event(event('phase_progress', { phase: 'data_import', done: n, total: 20_000 }))
      model.event(
        event('rows_rejected', { rows: [{ row: n, reason: 'x', raw: 'y'.repeat(5000) }], total: n }),
      )
      model.event(event('dependency_found', { from: `a${n}`, to: `b${n}`, kind: `k${n}` }))
    }
    expect(model.log.total).toBe(100_000)
    expect(model.log.newest.length).toBeLessThan(1001)
    expect(model.log.types.size).toBeLessThan(101)
    expect(model.phases.all.length).toBeLessThan(31)
    expect(model.discovery.rejected.length).toBe(200)
    expect(model.discovery.rejected[0]?.raw.length).toBe(400)
    expect(model.discovery.targets.length).toBe(8)
    expect(model.discovery.dependencies).toBe(20_000)
  })

  test('counts phases by what they counted, not by what was guessed before', () => {
    const model = new FlowModel()
    model.event(event('phase_started', { phase: 'data_import' }, 0))
    model.event(event('phase_progress', { phase: 'data_import', done: 900, total: 1010, unit: 'rows' }, 500))
    expect(model.phases.all[0]).toMatchObject({
      name: 'data_import',
      state: 'running',
      done: 900,
      total: 1010,
    })
    model.event(event('phase_completed', { phase: 'data_import', rows: 980, rejected: 20 }, 1000))
    expect(model.phases.all[0]).toMatchObject({
      state: 'completed',
      done: 980,
      counted: [
        ['rows', 980],
        ['rejected', 20],
      ],
    })
    expect(model.phases.all.map(({ name }) => name)).toEqual([
      'data_import',
      'field_mapping',
      'asset_inventory',
      'analysis',
      'report',
    ])
    expect(model.discovery.throughput.mean).toBe(1000)
  })

  test('follows a mapping from the proposal over a refusal to the confirmation', () => {
    const flow = new FlowModel()
    const { discovery } = flow
    const columns = [
      {
        column: 'host',
        attribute: 'hostname',
        confidence: 0.9,
        reasons: ['name'],
        samples: ['a', 'b', 'c', 'd'],
      },
    ]
    flow.event(
      event(
        'mapping_proposed',
        { columns, attributes: ['hostname'], auto_confirm_ms: 8000, hidden: 3 },
        1000,
      ),
    )
    expect(discovery.proposal).toMatchObject({
      goesOnAt: 9000,
      hidden: 3,
      columns: [{ column: 'host', samples: ['a', 'b', 'c'] }],
    })
    flow.event(event('mapping_corrected', { mapping: { host: null } }))
    expect(discovery.corrected).toBe(true)
    flow.event(event('mapping_refused', { reason: 'no identity' }))
    expect(discovery).toMatchObject({ corrected: false, refused: 'no identity', confirmed: undefined })
    flow.event(event('mapping_confirmed', { mapping: { host: 'hostname' }, by: 'person' }))
    expect(discovery.confirmed).toEqual({ host: 'hostname' })
  })
})

describe('throughput', () => {
  test('whatever the steps, the line tells the work that was done', () => {
    fc.assert(
      fc.property(
        fc.array(fc.record({ ms: fc.integer({ min: 1, max: 500 }), rows: fc.nat(1000) }), {
          minLength: 2,
          maxLength: 600,
        }),
        (steps) => {
          const throughput = new Throughput()
          let at = 0
          let done = 0
          throughput.start(at)
          for (const { ms, rows } of steps) {
            at += ms
            done += rows
            throughput.add(at, done)
          }
          expect(throughput.mean).toBeCloseTo((done * 1000) / at, 6)
          const line = throughput.line(40)
          const told = line.reduce((sum, rate) => sum + rate, 0) * (at / 40 / 1000)
          expect(told).toBeCloseTo(done, 3)
          for (const rate of line) expect(rate).toBeGreaterThanOrEqual(-1e-9)
        },
      ),
    )
  })
})

test('words, times and ages as people write them', () => {
  expect(words('data_import')).toBe('Data import')
  expect(words('ip_address')).toBe('IP address')
  expect([duration(12.4), duration(1234), duration(61_000), duration(7_260_000)]).toEqual([
    '12 ms',
    '1.2 s',
    '1 min 1 s',
    '2 h 1 min',
  ])
  const now = Date.parse('2026-01-18T12:00:00Z')
  expect(
    ['11:59:58', '11:59:30', '11:20:00', '03:00:00'].map((time) => ago(`2026-01-18T${time}Z`, now)),
  ).toEqual(['now', '30 s ago', '40 min ago', '9 h ago'])
  expect(ago('2025-12-01T10:00:00Z', now)).toBe('Dec 1, 2025')
})
