import { readFile, writeFile } from 'node:fs/promises'
import type { Spillway } from 'spillway'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { makeSample } from '../../examples/discovery/data/make-sample.js'
import { runDemo } from '../../examples/discovery/index.js'
import { freshSpillway, historyOf } from './flows.js'
import { testFile } from './tables.js'

let spillway: Spillway
let close: () => Promise<void>

beforeAll(async () => {
  ;({ spillway, close } = await freshSpillway())
})

afterAll(() => close())

const DIRTY = [
  'Hostname;Env;OS;Depends on;Owner',
  'web-01;prod;RHEL 9;db-01;Anna',
  'db-01;prod;RHEL 6;;Bo',
  'broken;row',
  'WEB-01.corp;prod;;;Carla',
  ';;Debian 12;;nobody',
  '',
].join('\n')

describe('the discovery flow', () => {
  it('tells each phase in the flow, keeps bad rows, and ends with a report', async () => {
    const file = await testFile(DIRTY)
    const result = await runDemo({ spillway, file, progress: false, autoConfirmMs: 0, asOf: '2026-01-18' })
    expect(result).toMatchObject({ rows: 4, rejected: 2, assets: 2, dependencies: 1 })
    const events = await historyOf(spillway, result.flow)
    const of = (type: string) => events.filter((event) => event.type === type).map((event) => event.payload)
    expect(of('phase_started')).toEqual(
      ['data_import', 'field_mapping', 'asset_inventory', 'analysis', 'report'].map((phase) => ({ phase })),
    )
    expect(of('phase_completed')).toEqual([
      { phase: 'data_import', rows: 4, rejected: 1 },
      { phase: 'field_mapping', columns: 5, mapped: 5 },
      { phase: 'asset_inventory', assets: 2, duplicates: 1, rejected: 1 },
      { phase: 'analysis', assets: 2, dependencies: 1 },
      { phase: 'report', assets: 2 },
    ])
    expect(of('rows_rejected')).toEqual([
      { rows: [{ row: 4, reason: '2 columns instead of 5', raw: 'broken;row' }], total: 1 },
      {
        rows: [
          {
            row: 6,
            reason: 'nothing identifies it: no host name, address or name',
            raw: ' |  | Debian 12 |  | nobody',
          },
        ],
        total: 2,
      },
    ])
    expect(of('mapping_confirmed')).toEqual([
      {
        by: 'timeout',
        mapping: {
          Hostname: 'hostname',
          Env: 'environment',
          OS: 'operating_system',
          'Depends on': 'dependencies',
          Owner: 'business_owner',
        },
      },
    ])
    expect(of('asset_batch')).toMatchObject([{ added: 2, updated: 1, total: 2 }])
    expect(of('asset_summary')).toEqual([
      { total: 2, byType: { server: 2 }, byEnvironment: { production: 2 } },
    ])
    expect(of('dependency_batch')).toEqual([
      { edges: [{ from: 'host:web-01', to: 'host:db-01', kind: 'depends_on' }], total: 1 },
    ])
    expect(of('treatment_summary').at(-1)).toMatchObject({
      assessed: 2,
      byTreatment: { rehost: 1, replatform: 1 },
    })
    expect(of('report_ready')).toEqual([{ url: `/demo/${result.flow}/report` }])
    expect(events.at(-1)?.type).toBe('flow_completed')
    const state = await spillway.tenant('default').flow(result.flow).state()
    expect(state).toMatchObject({
      status: 'completed',
      progress_percentage: 100,
      engagement: 'discovery',
      file: 'table.csv',
    })
    const report = JSON.parse(await readFile(result.report.json, 'utf8'))
    expect(report.assets).toHaveLength(2)
    expect(await readFile(result.report.html, 'utf8')).toContain('<h1>Discovery report</h1>')
  })

  it('keeps every event of a large and dirty file small', async () => {
    const file = await testFile(makeSample(3000, 3))
    const { flow } = await runDemo({ spillway, file, progress: false, autoConfirmMs: 0 })
    for (const event of await historyOf(spillway, flow)) {
      expect(JSON.stringify(event.payload).length).toBeLessThan(64 * 1024)
      for (const list of Object.values(Object(event.payload)))
        if (Array.isArray(list)) expect(list.length).toBeLessThanOrEqual(50)
    }
  })

  it('begins a new run for a file that is done, and for a file that changed', async () => {
    const file = await testFile(DIRTY)
    const run = () => runDemo({ spillway, file, progress: false, autoConfirmMs: 0 })
    const first = await run()
    const second = await run()
    await writeFile(file, `${DIRTY}app-01;prod;RHEL 9;;Dora\n`)
    const third = await run()
    expect(new Set([first.flow, second.flow, third.flow]).size).toBe(3)
    expect([first.assets, second.assets, third.assets]).toEqual([2, 2, 3])
  })

  it('keeps the same flow name of two tenants apart', async () => {
    const one = await testFile(DIRTY)
    const two = await testFile('Hostname,OS\nsolo-1,AIX 7.2\n')
    const run = (tenant: string, file: string) =>
      runDemo({ spillway, tenant, flow: 'Übung/../1', file, progress: false, autoConfirmMs: 0 })
    const [a, b] = [await run('acme', one), await run('Acme', two)]
    expect([a.assets, b.assets]).toEqual([2, 1])
    expect(await historyOf(spillway, 'Übung/../1')).toEqual([])
    expect((await run('acme', one)).assets).toBe(2)
  })
})

describe('a person', () => {
  it('corrects the mapping while the flow waits, and the flow goes on with it', async () => {
    const file = await testFile(DIRTY)
    const flow = spillway.tenant('default').flow('corrected')
    const done = runDemo({
      spillway,
      file,
      flow: 'corrected',
      progress: false,
      autoConfirmMs: Number.POSITIVE_INFINITY,
    })
    for await (const event of flow.subscribe({ after: '0' })) {
      if (event.type === 'mapping_proposed')
        await flow.publish('mapping_corrected', { mapping: { Owner: 'operating_system', nowhere: 'name' } })
      if (event.type === 'mapping_refused') {
        expect(event.payload).toMatchObject({ reason: 'The file has no column "nowhere"' })
        expect(await flow.state()).toMatchObject({ status: 'waiting', current_phase: 'field_mapping' })
        await flow.publish('mapping_corrected', { mapping: { Owner: null, Hostname: 'name' } })
      }
      if (event.type === 'mapping_confirmed') {
        expect(event.payload).toEqual({
          by: 'person',
          mapping: {
            Hostname: 'name',
            Env: 'environment',
            OS: 'operating_system',
            'Depends on': 'dependencies',
            Owner: null,
          },
        })
        break
      }
    }
    const result = await done
    expect(result.assets).toBe(3)
    const report = JSON.parse(await readFile(result.report.json, 'utf8'))
    expect(report.assets[0].asset).toMatchObject({ name: 'web-01', hostname: null, businessOwner: null })
  })
})

describe('a run that is stopped', () => {
  it('rests as pending and goes on from there to the same report', async () => {
    const file = await testFile(makeSample(3000, 5))
    const about = { spillway, file, progress: false, asOf: '2026-01-18' } as const
    const whole = await runDemo({ ...about, flow: 'undisturbed', autoConfirmMs: 0 })
    const stop = new AbortController()
    const flow = spillway.tenant('default').flow('stopped')
    const watch = (async () => {
      for await (const event of flow.subscribe({ after: '0' }))
        if (event.type === 'mapping_proposed') return stop.abort()
    })()
    await expect(
      runDemo({ ...about, flow: 'stopped', autoConfirmMs: Number.POSITIVE_INFINITY, signal: stop.signal }),
    ).rejects.toMatchObject({ code: 'ABORTED' })
    await watch
    expect(await flow.state()).toMatchObject({ status: 'pending', current_phase: 'field_mapping' })
    const resumed = await runDemo({ ...about, flow: 'stopped', autoConfirmMs: 0 })
    expect(await readFile(resumed.report.json, 'utf8')).toBe(await readFile(whole.report.json, 'utf8'))
    expect(await flow.state()).toMatchObject({ status: 'completed' })
  })

  it('is refused a second time in the same process', async () => {
    const stop = new AbortController()
    const about = {
      spillway,
      file: await testFile(DIRTY),
      flow: 'twice',
      progress: false,
      autoConfirmMs: Number.POSITIVE_INFINITY,
      signal: stop.signal,
    }
    // Either of the two may be the first to reach the folder; the other one is told at once.
    const runs = [runDemo(about), runDemo(about)]
    await expect(Promise.race(runs)).rejects.toMatchObject({ code: 'RUN_BUSY' })
    stop.abort()
    const ends = await Promise.allSettled(runs)
    const codes = ends.map((end) => (end.status === 'rejected' ? end.reason.code : 'no error'))
    expect(codes.toSorted()).toEqual(['ABORTED', 'RUN_BUSY'])
  })
})

describe('a run that cannot succeed', () => {
  it.each([
    ['empty', '', 'FILE_EMPTY'],
    ['header only', 'a,b\n', 'FILE_HEADER_ONLY'],
    ['nothing but bad rows', 'Hostname,OS\nx\ny\n', 'NO_USABLE_ROWS'],
    ['nothing that identifies', 'Colour,Taste\nred,sweet\n', 'MAPPING_WITHOUT_IDENTITY'],
    ['no identified row', 'Hostname,Env\n,prod\n-,test\n', 'NO_USABLE_ROWS'],
  ])('says so in the flow: %s', async (name, content, code) => {
    const flow = `fails: ${name}`
    const run = runDemo({ spillway, file: await testFile(content), flow, progress: false, autoConfirmMs: 0 })
    await expect(run).rejects.toMatchObject({ name: 'DiscoveryError', code })
    expect((await historyOf(spillway, flow)).at(-1)).toMatchObject({ type: 'flow_failed', payload: { code } })
    expect(await spillway.tenant('default').flow(flow).meta()).toMatchObject({ status: 'failed' })
  })

  it('says so when the file changed under it', async () => {
    const file = await testFile(DIRTY)
    const stop = new AbortController()
    stop.abort()
    await expect(
      runDemo({ spillway, file, flow: 'changed', progress: false, signal: stop.signal }),
    ).rejects.toMatchObject({ code: 'ABORTED' })
    await writeFile(file, 'other')
    await expect(runDemo({ spillway, file, flow: 'changed', progress: false })).rejects.toMatchObject({
      code: 'FILE_CHANGED',
    })
  })
})
