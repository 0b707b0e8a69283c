import { once } from 'node:events'
import { connect } from 'node:net'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { openStream } from '../support/sse.js'
import { type Running, start } from './running.js'

let running: Running
beforeAll(async () => {
  running = await start({ maxBodyBytes: 100_000, maxPayloadBytes: 1000, maxConnectionsPerTenant: 2 })
})
afterAll(() => running.stop())

/** What the server answers to these bytes before it closes; a request of HTTP/1.1 closes by its own header. */
async function raw(bytes: string): Promise<{ status: number; head: string; json: Record<string, unknown> }> {
  const socket = connect(Number(new URL(running.url).port), '127.0.0.1')
  let text = ''
  socket.setEncoding('utf8').on('data', (chunk: string) => {
    text += chunk
  })
  socket.on('error', () => {})
  socket.write(bytes)
  await once(socket, 'close')
  const [head = '', body = ''] = text.split('\r\n\r\n')
  return { status: Number(head.split(' ')[1]), head, json: JSON.parse(body) }
}

const get = (path: string, ...headers: string[]) =>
  raw([`GET ${path} HTTP/1.1`, ...headers, 'Connection: close', '', ''].join('\r\n'))

describe('a request without authentication', () => {
  it.each([
    'localhost',
    'localhost:7070',
    '127.0.0.1',
    '127.8.9.1:1',
    '[::1]:7070',
    'LOCALHOST',
    'app.localhost',
  ])('may be for the host %s', async (host) => {
    expect((await get('/livez', `Host: ${host}`)).status).toBe(200)
  })

  it.each([
    'evil.example',
    '127.0.0.1.evil.example',
    'localhost.evil.example',
    '127.0.0.1@evil.example',
    '169.254.1.1',
    '0.0.0.0',
    '',
    '::1',
  ])('may not be for the host %j', async (host) => {
    const { status, json } = await get('/v1/flows', `Host: ${host}`)
    expect([status, json.code]).toEqual([403, 'HOST_NOT_ALLOWED'])
  })

  it.each([
    'http://evil.example',
    'null',
    'https://localhost.evil.example',
    'file://',
    'chrome-extension://abc',
  ])('may not come from a page of %s', async (origin) => {
    const { status, json } = await get('/v1/flows', 'Host: localhost', `Origin: ${origin}`)
    expect([status, json.code]).toEqual([403, 'ORIGIN_NOT_ALLOWED'])
  })

  it('may come from a page of this machine, which gets no leave to read by it', async () => {
    const { status, head } = await get('/v1/flows', 'Host: localhost', 'Origin: http://localhost:3000')
    expect(status).toBe(200)
    expect(head.toLowerCase()).not.toContain('access-control-allow-origin')
  })

  it('says its tenant by header or parameter', async () => {
    const body = { type: 't', payload: 1 }
    await running.call('POST', '/v1/flows/own/events', { body, headers: { 'x-spillway-tenant': 'acme' } })
    const seen = async (query: string) =>
      (await running.call('GET', `/v1/flows/own/events${query}`)).json.events
    expect(await seen('?tenant=acme')).toHaveLength(1)
    expect(await seen('?tenant=other')).toHaveLength(0)
    expect(await seen('')).toHaveLength(0)
    const bad = await running.call('GET', '/v1/flows?tenant=%00')
    expect([bad.status, bad.json.code]).toEqual([400, 'INVALID_NAME'])
    const latin = await running.call('GET', '/v1/flows', { headers: { 'x-spillway-tenant': 'ä' } })
    expect([latin.status, latin.json.code]).toEqual([400, 'INVALID_NAME'])
    expect((await running.call('GET', '/v1/flows?tenant=%C3%A4')).status).toBe(200)
  })
})

it('a stream that is asked for before the answer to another request came ends at once, and is asked for again', async () => {
  const socket = connect(Number(new URL(running.url).port), '127.0.0.1')
  let text = ''
  socket.setEncoding('utf8').on('data', (chunk: string) => {
    text += chunk
  })
  const head = 'HTTP/1.1\r\nHost: localhost\r\n'
  const wait = JSON.stringify({ ttlMs: 1000, waitMs: 1000 })
  const slow = `POST /v1/locks/piped ${head}Content-Type: application/json\r\nContent-Length: ${wait.length}\r\n\r\n${wait}`
  // The first request waits for as long as somebody else holds the lock.
  await running.spillway.tenant('default').locks.acquire('piped', { ttlMs: 30_000 })
  socket.write(`${slow}GET /v1/flows/piped/stream ${head}\r\nGET /livez ${head}Connection: close\r\n\r\n`)
  await once(socket, 'close')
  const answers = text.split('HTTP/1.1 ')
  expect(answers.map((answer) => answer.slice(0, 3))).toEqual(['', '409', '200', '200'])
  expect(answers[2]).toMatch(/content-type: text\/event-stream.*\r\n\r\nretry: 1000\n\n$/is)
})

describe('what is no proper request', () => {
  it.each([
    ['nonsense\r\n\r\n', 400, 'INVALID_ARGUMENT'],
    ['GET / HTTP/1.1\r\nConnection: close\r\n\r\n', 400, 'INVALID_ARGUMENT'],
    [
      'POST /v1/tickets HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\nzz\r\n',
      400,
      'INVALID_ARGUMENT',
    ],
    [`GET / HTTP/1.1\r\nHost: localhost\r\nX: ${'x'.repeat(140_000)}\r\n\r\n`, 431, 'HEADERS_TOO_LARGE'],
  ])('is told so (%#)', async (bytes, status, code) => {
    const answer = await raw(bytes)
    expect([answer.status, answer.json.code]).toEqual([status, code])
    expect(answer.head).toContain('application/problem+json')
  })

  it('a URL may be long, but not that long', async () => {
    const long = await running.call('GET', `/v1/flows?x=${'x'.repeat(100_000)}`)
    expect([long.status, long.json.code]).toEqual([414, 'URI_TOO_LONG'])
    const name = await running.call('GET', `/v1/flows/${'x'.repeat(5000)}/state`)
    expect([name.status, name.json.code]).toEqual([400, 'INVALID_NAME'])
  })

  it('takes the longest list of flows that is allowed, and no longer one', async () => {
    const names = Array.from({ length: 100 }, (_, n) =>
      encodeURIComponent('ä'.repeat(125) + String(n).padStart(6, '0')),
    )
    const reader = await openStream(`${running.url}/v1/stream?flows=${names.join(',')}`)
    expect(reader.status).toBe(200)
    reader.close()
    const many = await running.call(
      'GET',
      `/v1/stream?flows=${Array.from({ length: 101 }, (_, n) => n).join(',')}`,
    )
    expect([many.status, many.json.code]).toEqual([400, 'INVALID_ARGUMENT'])
  })

  it('a parameter that stands twice is not guessed at', async () => {
    const twice = await running.call('GET', '/v1/flows/a/events?limit=1&limit=2')
    expect([twice.status, twice.json.code]).toEqual([400, 'INVALID_ARGUMENT'])
  })

  it('an address of nothing names no query in its answer', async () => {
    const { json } = await running.call('GET', '/nothing?ticket=secret')
    expect([json.code, json.instance]).toEqual(['NOT_FOUND', '/nothing'])
  })

  it.each([
    ['a body that is too large', { text: `"${'x'.repeat(100_000)}"` }, 413, 'PAYLOAD_TOO_LARGE'],
    [
      'a payload that is too large',
      { body: { type: 't', payload: 'x'.repeat(999) } },
      413,
      'PAYLOAD_TOO_LARGE',
    ],
    [
      'a compressed body',
      { text: '{}', headers: { 'content-encoding': 'gzip' } },
      415,
      'UNSUPPORTED_MEDIA_TYPE',
    ],
    ['a reserved type', { body: { type: 'gap', payload: 1 } }, 400, 'RESERVED_TYPE'],
    ['another reserved type', { body: { type: 'spillway.x', payload: 1 } }, 400, 'RESERVED_TYPE'],
    ['a lone surrogate in a name', { text: '{"type":"\\ud800","payload":1}' }, 400, 'INVALID_NAME'],
    ['a missing payload', { body: { type: 't' } }, 400, 'INVALID_ARGUMENT'],
    ['no body', {}, 400, 'INVALID_JSON'],
  ])('%s is refused', async (_, options, status, code) => {
    const answer = await running.call('POST', '/v1/flows/refused/events', options)
    expect([answer.status, answer.json.code]).toEqual([status, code])
    expect((await running.call('GET', '/v1/flows/refused/events')).json.events).toEqual([])
  })

  it('one bad event of a batch refuses all of it', async () => {
    const body = [
      { type: 't', payload: 1 },
      { type: 'gap', payload: 1 },
    ]
    expect((await running.call('POST', '/v1/flows/refused/events', { body })).status).toBe(400)
    expect((await running.call('GET', '/v1/flows/refused/events')).json.events).toEqual([])
  })

  it('streams beyond the tenant’s limit are refused with a time to come back', async () => {
    const open = () => openStream(`${running.url}/v1/flows/limited/stream?tenant=limited`)
    const readers = [await open(), await open()]
    const third = await running.call('GET', '/v1/flows/limited/stream?tenant=limited')
    expect([third.status, third.json.code, third.headers.get('retry-after')]).toEqual([
      429,
      'TOO_MANY_CONNECTIONS',
      '5',
    ])
    const other = await openStream(`${running.url}/v1/flows/limited/stream?tenant=other`)
    expect(other.status).toBe(200)
    for (const reader of [...readers, other]) reader.close()
  })
})
