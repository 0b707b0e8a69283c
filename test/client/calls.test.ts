import { afterEach, describe, expect, test } from 'vitest'
import { Http } from '../../client/http.js'
import { ClientError, SpillwayClient } from '../../client/index.js'
import { splitList } from '../../src/http/query.js'
import { eventually } from '../support/eventually.js'
import { type Answer, json, openWire, problem, quick, type Wire } from './wire.js'

let wire: Wire
afterEach(() => wire.close())

describe('a call', () => {
  const calls = async (...answers: Answer[]) => {
    wire = await openWire(...answers)
    return new SpillwayClient({ baseUrl: wire.url, fetch: quick })
  }

  test('turns a problem answer into a typed error', async () => {
    const client = await calls(problem(413, 'PAYLOAD_TOO_LARGE'))
    const error = await client.publish('f', 't', 1).catch((cause: unknown) => cause)
    expect(error).toBeInstanceOf(ClientError)
    expect(error).toMatchObject({ code: 'PAYLOAD_TOO_LARGE', status: 413, temporary: false })
  })

  test('names an answer that is no problem document, and one that is no JSON', async () => {
    const page: Answer = (response) =>
      response.writeHead(404, { 'content-type': 'text/html' }).end('<p>nginx')
    const client = await calls(page, (response) => response.end('<p>hello'))
    await expect(client.flows()).rejects.toMatchObject({ code: 'HTTP_404', status: 404 })
    await expect(client.flows()).rejects.toMatchObject({ code: 'PROTOCOL', temporary: true })
  })

  test('is repeated after a lost answer only if that does no harm', async () => {
    const cut: Answer = (response) => response.destroy()
    const client = await calls(cut, json([]), cut, json([], 201), cut)
    expect(await client.flows()).toEqual([])
    expect(await client.publishMany('f', [{ type: 't', payload: 1, key: 'k' }])).toEqual([])
    await expect(client.publish('f', 't', 1)).rejects.toMatchObject({ code: 'NETWORK', status: 0 })
    expect(wire.asked).toHaveLength(5)
  })

  test.each([[['a,b']], [['a,b', 'c']], [['ä &+']], [['a', 'b', 'c,']]])(
    'names the flows %j so that the server reads the same',
    async (flows) => {
      wire = await openWire(json([]))
      await new Http({ baseUrl: wire.url }).send('GET', 'v1/stream', { lists: { flows } })
      const list = wire.asked[0]?.url?.split('?flows=')[1] ?? ''
      expect(splitList(list)).toEqual(flows)
    },
  )

  test('answers null for the state of a flow without one', async () => {
    const client = await calls(problem(404, 'NOT_FOUND'))
    expect(await client.state('f')).toBeNull()
    expect(await client.meta('f')).toBeNull()
  })

  test('encodes names and leaves out what was not given', async () => {
    const client = await calls(json({ events: [], next: null }))
    await client.history('a/b?c', { limit: 5, order: 'desc' })
    expect(wire.asked[0]?.url).toBe('/v1/flows/a%2Fb%3Fc/events?limit=5&order=desc')
  })

  test('stops when its signal aborts', async () => {
    const client = await calls(() => {})
    const abort = new AbortController()
    const call = client.flows({ signal: abort.signal })
    await eventually(() => wire.asked.length === 1)
    abort.abort()
    await expect(call).rejects.toMatchObject({ name: 'AbortError' })
  })
})
