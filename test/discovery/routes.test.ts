import { once } from 'node:events'
import { readdir } from 'node:fs/promises'
import { request } from 'node:http'
import type { AddressInfo } from 'node:net'
import { join } from 'node:path'
import Fastify, { type FastifyInstance } from 'fastify'
import type { Spillway } from 'spillway'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { demoRoutes } from '../../examples/discovery/index.js'
import { eventually } from '../support/eventually.js'
import { freshSpillway, historyOf } from './flows.js'

const TABLE = 'Hostname;OS;Owner\nweb-01;RHEL 9;<b>Ann</b>\n"=cmd|x";AIX 7.2;=1+1\nbad;row\n'
const MAX_BYTES = 100_000

let spillway: Spillway
let close: () => Promise<void>
let app: FastifyInstance
let base: string

async function startServer(
  autoConfirmMs: number,
  maxRunning: number,
  maxKept = 100,
): Promise<FastifyInstance> {
  const server = Fastify({ forceCloseConnections: true, routerOptions: { maxParamLength: 2000 } })
  await server.register(demoRoutes(spillway, { autoConfirmMs, maxBytes: MAX_BYTES, maxRunning, maxKept }))
  await server.listen({ host: '127.0.0.1', port: 0 })
  return server
}

beforeAll(async () => {
  ;({ spillway, close } = await freshSpillway())
  app = await startServer(0, 4)
  base = app.listeningOrigin
})

afterAll(async () => {
  await app.close()
  await close()
})

const upload = (body: string | Uint8Array<ArrayBuffer>, name: string, headers: Record<string, string> = {}) =>
  fetch(`${base}/demo/import?name=${encodeURIComponent(name)}`, { method: 'POST', body, headers })

async function flowOf(answer: Response): Promise<string> {
  const { flow } = Object(await answer.json())
  return String(flow)
}

/** The last word of a flow, once nothing of it runs any more. */
async function ended(flow: string) {
  for await (const event of spillway.tenant('default').flow(flow).subscribe({ after: '0' })) {
    if (event.type !== 'flow_completed' && event.type !== 'flow_failed') continue
    await eventually(async () => {
      const { running } = Object(await (await fetch(`${base}/demo`)).json())
      return running === 0
    })
    return event
  }
  throw new Error('The stream ended before the flow')
}

const imports = async () =>
  await readdir(join(spillway.config.dataDir, 'discovery', 'default')).catch(() => [])

describe('an import over HTTP', () => {
  it('is accepted, runs, and has a report to look at and to download', async () => {
    const answer = await upload(TABLE, 'Über sicht.csv', { 'content-type': 'text/csv' })
    expect(answer.status).toBe(202)
    const flow = await flowOf(answer)
    expect(flow).toMatch(/^ber-sicht-csv-[0-9a-f]{12}$/)
    expect(answer.headers.get('location')).toBe(`/v1/flows/${flow}`)
    const last = await ended(flow)
    expect(last).toMatchObject({
      type: 'flow_completed',
      payload: { rows: 2, rejected: 1, assets: 2, url: `/demo/${flow}/report` },
    })
    expect(await spillway.tenant('default').flow(flow).state()).toMatchObject({ file: 'Über sicht.csv' })

    const page = await fetch(`${base}/demo/${flow}/report`)
    expect(page.headers.get('content-type')).toBe('text/html; charset=utf-8')
    expect(page.headers.get('content-security-policy')).toContain("default-src 'none'")
    expect(page.headers.get('x-content-type-options')).toBe('nosniff')
    expect(await page.text()).not.toContain('<b>Ann')

    const csv = await fetch(`${base}/demo/${flow}/report.csv`)
    expect(csv.headers.get('content-disposition')).toBe(
      `attachment; filename="report"; filename*=UTF-8''${flow}.csv`,
    )
    expect(await csv.text()).toContain(`"'=1+1"`)
    const json = Object(await (await fetch(`${base}/demo/${flow}/report.json`)).json())
    expect(json.assets).toHaveLength(2)
    expect(await (await fetch(`${base}/demo/${flow}/rejected.csv`)).text()).toContain(
      '2 columns instead of 3',
    )
  })

  it.each([
    '../../../etc/passwd',
    '..\\..\\x',
    '.',
    '..',
    '/',
    '\u0000\u001b[2J',
    '<script>alert(1)</script>.csv',
    'ü'.repeat(300),
    '%2e%2e%2f',
    '',
    '\ud800',
    '👩‍💻.csv',
    'con',
    'a\r\nb: c',
  ])('stays in its folder whatever the file is called: %j', async (name) => {
    const answer = await upload(TABLE, name.toWellFormed())
    expect(answer.status).toBe(202)
    const flow = await flowOf(answer)
    expect(flow).toMatch(/^[a-z0-9_-]{1,64}-[0-9a-f]{12}$/)
    await ended(flow)
    expect(await imports()).toContain(flow)
    const state = Object(await spillway.tenant('default').flow(flow).state())
    expect(state.file).not.toMatch(/\p{Cc}|\//u)
  })

  it.each([
    ['nothing', '', 422, 'FILE_EMPTY'],
    ['a header only', 'a,b\n', 422, 'FILE_HEADER_ONLY'],
    ['a picture', new Uint8Array(500).map((_, i) => (i % 3 === 0 ? 0 : i)), 422, 'FILE_BINARY'],
    ['too much', 'x,y\n'.repeat(50_000), 413, 'FILE_TOO_LARGE'],
  ])('is refused before anything runs: %s', async (_, body, status, code) => {
    const before = await imports()
    const answer = await upload(body, 'x.csv')
    expect(answer.status).toBe(status)
    expect(Object(await answer.json()).code).toBe(code)
    expect(await imports()).toEqual(before)
  })

  it('is refused when it turns out too large on the way', async () => {
    const before = await imports()
    const { port } = app.server.address() as AddressInfo
    const sent = request({
      host: '127.0.0.1',
      port,
      method: 'POST',
      path: '/demo/import',
      headers: { 'transfer-encoding': 'chunked' },
    })
    sent.on('error', () => undefined)
    sent.write('a,b\n')
    sent.end('1,2\n'.repeat(100_000))
    const [answer] = await once(sent, 'response')
    expect(answer.statusCode).toBe(413)
    expect(await imports()).toEqual(before)
  })

  it('is refused while as many run as may, and goes on after a restart of the server', async () => {
    const patient = await startServer(Number.POSITIVE_INFINITY, 1)
    const send = () =>
      fetch(`${patient.listeningOrigin}/demo/import?name=slow`, { method: 'POST', body: TABLE })
    const flow = await flowOf(await send())
    const refused = await send()
    expect([refused.status, Object(await refused.json()).code]).toEqual([429, 'TOO_MANY_IMPORTS'])
    for await (const event of spillway.tenant('default').flow(flow).subscribe({ after: '0' }))
      if (event.type === 'mapping_proposed') break
    await patient.close()
    expect(await spillway.tenant('default').flow(flow).meta()).toMatchObject({ status: 'pending' })

    const next = await startServer(0, 1)
    expect(await ended(flow)).toMatchObject({ type: 'flow_completed' })
    await next.close()
    const types = (await historyOf(spillway, flow)).map((event) => event.type)
    expect(types.filter((type) => type === 'mapping_proposed')).toHaveLength(1)
  })
})

describe('finished uploads', () => {
  it('keep the newest reports, and nothing of their size', async () => {
    const server = await startServer(0, 4, 2)
    let flow = ''
    for (let n = 0; n < 4; n++) {
      flow = await flowOf(
        await fetch(`${server.listeningOrigin}/demo/import?name=kept`, { method: 'POST', body: TABLE }),
      )
      await ended(flow)
      await eventually(async () => {
        const { running } = Object(await (await fetch(`${server.listeningOrigin}/demo`)).json())
        return running === 0
      })
    }
    await server.close()
    expect(await imports()).toHaveLength(3)
    const files = await readdir(join(spillway.config.dataDir, 'discovery', 'default', flow))
    expect(files.sort()).toEqual([
      'checkpoint.json',
      'rejected.csv',
      'rejected.jsonl',
      'report.csv',
      'report.html',
      'report.json',
    ])
  })
})

describe('a report', () => {
  it.each([
    'unknown',
    '..%2f..%2fetc',
    '%2e%2e%2f%2e%2e%2fcheckpoint.json',
    'a%00b',
    '%F0%9F%92%A5',
    'x'.repeat(300),
  ])('that is not there is not found: %s', async (flow) => {
    for (const path of ['report', 'report.csv', 'report.json', 'rejected.csv']) {
      const answer = await fetch(`${base}/demo/${flow}/${path}`)
      expect([400, 404]).toContain(answer.status === 500 ? await answer.text() : answer.status)
    }
  })

  it('is described by GET /demo', async () => {
    expect(await (await fetch(`${base}/demo`)).json()).toMatchObject({
      name: 'discovery',
      max_bytes: MAX_BYTES,
    })
  })
})
