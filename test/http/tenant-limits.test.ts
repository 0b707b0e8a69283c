import { once } from 'node:events'
import { connect } from 'node:net'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { ApiKeys } from '../../src/access/keys.js'
import { freshDatabase } from '../support/database.js'
import type { FreshDatabase } from '../support/postgres.js'
import { openStream } from '../support/sse.js'
import { type Running, start } from './running.js'

const LIMITS = {
  maxBodyBytes: 20_000,
  maxConnectionsPerTenant: 2,
  tenantLimits: {
    large: { maxBodyBytes: 1_000_000, maxConnections: 3 },
    small: { maxBodyBytes: 2000, maxConnections: 1 },
    partly: { maxConnections: 1 },
  },
}
const TENANTS = [
  { tenant: 'large', bytes: 1_000_000, streams: 3 },
  { tenant: 'small', bytes: 2000, streams: 1 },
  { tenant: 'partly', bytes: 20_000, streams: 1 },
  { tenant: 'other', bytes: 20_000, streams: 2 },
]

let database: FreshDatabase
let running: Running
const authorization = new Map<string, string>()

beforeAll(async () => {
  database = await freshDatabase()
  running = await start({ databaseUrl: database.url, auth: 'keys', maxPayloadBytes: 2_000_000, ...LIMITS })
  const keys = new ApiKeys(running.spillway.database)
  for (const { tenant } of TENANTS) {
    const { key } = await keys.create({ tenant, scopes: ['publish', 'subscribe'] })
    authorization.set(tenant, `Bearer ${key}`)
  }
})
afterAll(async () => {
  await running.stop()
  await database.drop()
})

const headersOf = (tenant: string) => ({ authorization: authorization.get(tenant) ?? '' })

/** An event as a body of so many bytes. */
function bodyOf(bytes: number): string {
  const around = JSON.stringify({ type: 't', payload: '' }).length
  return JSON.stringify({ type: 't', payload: 'x'.repeat(bytes - around) })
}

const stored = (tenant: string, flow: string) => running.spillway.tenant(tenant).flow(flow).history()

/**
 * What is answered to the head of a publish and to `sent` of its body, on a connection that goes on waiting for
 * the rest.
 */
async function early(
  head: Readonly<Record<string, string>>,
  sent = '',
  path = '/v1/flows/early/events',
): Promise<{ status: number; json: Record<string, unknown> }> {
  const socket = connect(Number(new URL(running.url).port), '127.0.0.1')
  try {
    const lines = Object.entries({
      host: 'localhost',
      'content-type': 'application/json',
      ...head,
    }).map(([name, value]) => `${name}: ${value}\r\n`)
    socket.write(`POST ${path} HTTP/1.1\r\n${lines.join('')}\r\n${sent}`)
    let text = ''
    for (;;) {
      const [chunk] = await once(socket, 'data')
      text += String(chunk)
      const [answer = '', body = ''] = text.split('\r\n\r\n')
      const length = Number(/^content-length: (\d+)$/im.exec(answer)?.[1])
      if (Buffer.byteLength(body) === length)
        return { status: Number(text.split(' ')[1]), json: JSON.parse(body) }
    }
  } finally {
    socket.destroy()
  }
}

describe('the size of a request', () => {
  it.each(TENANTS)('of tenant $tenant is $bytes bytes at most', async ({ tenant, bytes }) => {
    const publish = (flow: string, size: number) =>
      running.call('POST', `/v1/flows/${flow}/events`, { text: bodyOf(size), headers: headersOf(tenant) })
    expect((await publish('at-most', bytes)).status).toBe(201)
    expect(await stored(tenant, 'at-most')).toHaveLength(1)
    const { status, json } = await publish('over', bytes + 1)
    expect([status, json.code]).toEqual([413, 'PAYLOAD_TOO_LARGE'])
    expect(json.detail).toContain(`${bytes} bytes`)
    expect(await stored(tenant, 'over')).toEqual([])
    expect((await running.spillway.tenant(tenant).flows()).map(({ flow }) => flow)).not.toContain('over')
  })

  it.each(TENANTS)('of tenant $tenant is judged by what it says, before any of it came', async (one) => {
    const length = { ...headersOf(one.tenant), 'content-length': String(one.bytes + 1) }
    const { status, json } = await early(length)
    expect([status, json.code]).toEqual([413, 'PAYLOAD_TOO_LARGE'])
  })

  it.each(TENANTS)('of tenant $tenant is judged while it comes, if it does not say', async (one) => {
    const piece = 'x'.repeat(1000)
    const whole = `3e8\r\n${piece}\r\n`.repeat(Math.floor(one.bytes / 1000))
    const chunked = { ...headersOf(one.tenant), 'transfer-encoding': 'chunked' }
    const { status, json } = await early(chunked, `${whole}1\r\nx\r\n`)
    expect([status, json.code]).toEqual([413, 'PAYLOAD_TOO_LARGE'])
    expect(json.detail).toContain(`${one.bytes} bytes`)
    expect(await stored(one.tenant, 'early')).toEqual([])
  })

  it('in pieces is put together again', async () => {
    const text = bodyOf(30_000)
    const pieces = text.match(/.{1,999}/g) ?? []
    const chunks = pieces.map((piece) => `${piece.length.toString(16)}\r\n${piece}\r\n`)
    const chunked = { ...headersOf('large'), 'transfer-encoding': 'chunked' }
    const { status } = await early(chunked, `${chunks.join('')}0\r\n\r\n`, '/v1/flows/pieces/events')
    expect(status).toBe(201)
    expect(await stored('large', 'pieces')).toMatchObject([{ payload: JSON.parse(text).payload }])
  })

  it('is no tenant’s larger one for who has not said, or cannot prove, whose he is', async () => {
    // Refused by their heads: nothing of their bodies is waited for.
    const length = { 'content-length': '900000' }
    for (const head of [
      length,
      { ...length, 'x-spillway-tenant': 'large' },
      { ...length, authorization: 'Bearer spw_0123456789abcdef_aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa' },
    ]) {
      const { status, json } = await early(head)
      expect([status, json.code]).toEqual([401, 'UNAUTHENTICATED'])
    }
    const nowhere = await early(length, '', '/nowhere?tenant=large')
    expect([nowhere.status, nowhere.json.code]).toEqual([413, 'PAYLOAD_TOO_LARGE'])
    expect(nowhere.json.detail).toContain('20000 bytes')
  })

  it('is not asked of who may not publish at all', async () => {
    const keys = new ApiKeys(running.spillway.database)
    const { key } = await keys.create({ tenant: 'large', scopes: ['subscribe'] })
    const { status, json } = await early({ authorization: `Bearer ${key}`, 'content-length': '900000' })
    expect([status, json.code]).toEqual([403, 'FORBIDDEN'])
  })

  it('is that of the named tenant where nobody has to prove anything', async () => {
    const open = await start({ databaseUrl: database.url, ...LIMITS })
    try {
      const publish = async (tenant: string) =>
        (await open.call('POST', `/v1/flows/f/events?tenant=${tenant}`, { text: bodyOf(5000) })).status
      expect([await publish('large'), await publish('small'), await publish('other')]).toEqual([
        201, 413, 201,
      ])
    } finally {
      await open.stop()
    }
  })
})

it.each(TENANTS)('tenant $tenant may have $streams streams open', async ({ tenant, streams }) => {
  const path = '/v1/flows/watched/stream'
  const headers = headersOf(tenant)
  const readers = []
  for (let n = 0; n < streams; n++) readers.push(await openStream(running.url + path, { headers }))
  expect(readers.map(({ status }) => status)).toEqual(readers.map(() => 200))
  const { status, json } = await running.call('GET', path, { headers })
  expect([status, json.code]).toEqual([429, 'TOO_MANY_CONNECTIONS'])
  expect(json.detail).toContain(`${streams} streams`)
  for (const reader of readers) reader.close()
})

it('a server does not start with limits that are none', async () => {
  const tenantLimits = { acme: { maxBodyBytes: 1 } }
  await expect(start({ databaseUrl: database.url, tenantLimits })).rejects.toMatchObject({
    code: 'CONFIG_INVALID',
    message: expect.stringMatching(/tenantLimits .*1024.*maxBodyBytes of "acme"/),
  })
})
