import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { PostgresLog } from '../../src/events/postgres.js'
import type { Spillway } from '../../src/index.js'
import { openStream } from '../support/sse.js'
import { type Running, start } from './running.js'

/** What retention does, now. */
async function trim({ database }: Spillway, flow: string, maxEvents: number): Promise<void> {
  await new PostgresLog(database).trim([{ tenant: 'default', flow }], {
    maxEvents,
    maxAgeMs: 1e12,
    flowAgeMs: 1e12,
  })
}

let running: Running
beforeAll(async () => {
  running = await start()
})
afterAll(() => running.stop())

describe('events', () => {
  it('publishes one event, and serves it as it was answered', async () => {
    const made = await running.call('POST', '/v1/flows/one/events', {
      body: { type: 'phase_completed', payload: { phase: 'data_import' }, source: 'importer', key: 'p1' },
    })
    expect(made.status).toBe(201)
    expect(made.json).toEqual({
      id: '1-1',
      flow: 'one',
      type: 'phase_completed',
      payload: { phase: 'data_import' },
      source: 'importer',
      timestamp: expect.stringMatching(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/),
      durability: 'durable',
    })
    const { durability, ...event } = made.json
    const history = await running.call('GET', '/v1/flows/one/events')
    expect([history.status, history.json]).toEqual([200, { events: [event], next: null }])

    const again = await running.call('POST', '/v1/flows/one/events', {
      body: { type: 'x', payload: 1, key: 'p1' },
    })
    expect([again.status, again.json.id, again.json.type]).toEqual([201, '1-1', 'phase_completed'])
  })

  it('answers an array for an array, in its order', async () => {
    const body = Array.from({ length: 1000 }, (_, n) => ({ type: 'tick', payload: { n } }))
    const made = await running.call('POST', '/v1/flows/many/events', { body })
    expect(made.status).toBe(201)
    const events: { id: string; payload: { n: number } }[] = JSON.parse(made.text)
    expect(events.map(({ id, payload }) => [id, payload.n])).toEqual(body.map((_, n) => [`1-${n + 1}`, n]))

    const more = await running.call('POST', '/v1/flows/many/events', {
      body: [...body, { type: 'x', payload: 1 }],
    })
    expect([more.status, more.json.code]).toEqual([413, 'BATCH_TOO_LARGE'])
    const none = await running.call('POST', '/v1/flows/many/events', { body: [] })
    expect([none.status, none.json.code]).toEqual([400, 'INVALID_ARGUMENT'])
  })

  it.each(['asc', 'desc'])('pages join to the same log, %s', async (order) => {
    const path = '/v1/flows/many/events'
    const whole = (await running.call('GET', `${path}?limit=1000&order=${order}`)).json.events as {
      id: string
    }[]
    expect(whole).toHaveLength(1000)
    const joined: unknown[] = []
    let cursor = ''
    for (let pages = 0; pages < 4; pages += 1) {
      const { json } = await running.call('GET', `${path}?limit=300&order=${order}${cursor}`)
      joined.push(...(json.events as unknown[]))
      if (json.next === null) break
      cursor = `&${order === 'asc' ? 'after' : 'before'}=${json.next}`
    }
    expect(joined).toEqual(whole)
  })

  it('keeps the payload as it was written, numbers that JavaScript cannot hold and odd names included', async () => {
    const payload =
      '{"big":12345678901234567890,"huge":1e400,"__proto__":{"x":1},"constructor":null,"a\\"}":"\\ud800\\u0000 \\\\","s":" [ { ","n":-0.10}'
    const text = `[ {"payload":{"first":1}, "type" : "t",\n "p\\u0061yload" : ${payload.replaceAll(',', ' ,\n\t')} }, {"type":"u","payload":\r\n[ 1 , 2 ]} ]`
    const made = await running.call('POST', '/v1/flows/exact/events', { text })
    expect(made.status).toBe(201)
    const history = await running.call('GET', '/v1/flows/exact/events')
    expect(history.text).toContain(`"payload":${payload},"source"`)
    expect(history.text).toContain('"payload":[1,2],"source"')
  })

  it('names what was trimmed', async () => {
    const flow = running.spillway.tenant('default').flow('short')
    await flow.publishMany(Array.from({ length: 30 }, (_, n) => ({ type: 'tick', payload: n })))
    await trim(running.spillway, 'short', 10)
    const { json } = await running.call('GET', '/v1/flows/short/events?after=1-1')
    const [gap, ...events] = json.events as { type: string; id: string; payload: unknown }[]
    expect(gap).toMatchObject({
      type: 'gap',
      payload: { flow: 'short', from: '1-2', to: '1-20', reason: 'trimmed' },
    })
    expect(events.map(({ id }) => id)).toEqual(Array.from({ length: 10 }, (_, n) => `1-${n + 21}`))
  })

  it('fixes the durability with the first publish', async () => {
    const body = { type: 't', payload: 1 }
    const fast = await running.call('POST', '/v1/flows/fast/events?durability=fast', { body })
    expect([fast.status, fast.json.durability]).toEqual([201, 'fast'])
    const durable = await running.call('POST', '/v1/flows/fast/events?durability=durable', { body })
    expect([durable.status, durable.json.code]).toEqual([409, 'DURABILITY_FIXED'])
  })

  it.each(['a/b', 'ä ö', '100%', 'a,b', '{x}', 'a?b#c', '+', '__proto__', 'constructor'])(
    'takes the flow name %j',
    async (flow) => {
      const path = `/v1/flows/${encodeURIComponent(flow)}/events`
      const made = await running.call('POST', path, { body: { type: 't', payload: {} } })
      expect([made.status, made.json.flow]).toEqual([201, flow])
      expect((await running.call('GET', path)).json.events).toHaveLength(1)
    },
  )
})

describe('streams', () => {
  it('streams a flow from the beginning, then live, and resumes', async () => {
    const path = '/v1/flows/live/events'
    await running.call('POST', path, { body: { type: 'a', payload: 1 } })
    const reader = await openStream(`${running.url}/v1/flows/live/stream?after=0`)
    expect([reader.status, reader.headers['content-type'], reader.headers['x-accel-buffering']]).toEqual([
      200,
      'text/event-stream',
      'no',
    ])
    expect(reader.headers['cache-control']).toBe('no-cache, no-transform')
    await reader.until(({ frames }) => frames.length === 1)
    await running.call('POST', path, { body: { type: 'b', payload: 2 } })
    await reader.until(({ frames }) => frames.length === 2)
    expect(reader.ids()).toEqual(['1-1', '1-2'])
    reader.close()
    // The header goes before the parameter: it is what a browser has when it reconnects to the same address.
    const resumed = await openStream(`${running.url}/v1/flows/live/stream?after=0`, { lastEventId: '1-1' })
    await resumed.until(({ frames }) => frames.length === 1)
    expect(resumed.ids()).toEqual(['1-2'])
    resumed.close()
  })

  it('streams several flows by a list of encoded names', async () => {
    const flows = ['multi,a', 'multi/b', 'multi c']
    for (const flow of flows) {
      await running.call('POST', `/v1/flows/${encodeURIComponent(flow)}/events`, {
        body: { type: 't', payload: flow },
      })
    }
    const list = flows.map(encodeURIComponent).join(',')
    const reader = await openStream(`${running.url}/v1/stream?flows=${list}&after=0`)
    expect(reader.status).toBe(200)
    await reader.until(({ frames }) => frames.length === 3)
    const seen = reader.frames.map(({ data }) => JSON.parse(data).flow).sort()
    expect(seen).toEqual([...flows].sort())
    reader.close()
  })

  it('answers HEAD with the head of a stream alone', async () => {
    const { status, headers, text } = await running.call('HEAD', '/v1/flows/live/stream')
    expect([status, headers.get('content-type'), text]).toEqual([200, 'text/event-stream', ''])
  })

  it('stays 200 for a cursor that nobody issued, and says so', async () => {
    const reader = await openStream(`${running.url}/v1/flows/live/stream`, { lastEventId: 'nonsense' })
    expect(reader.status).toBe(200)
    await reader.until(({ frames }) => frames.some(({ event }) => event === 'gap'))
    reader.close()
  })
})

describe('state', () => {
  it('is set, read, listed and removed', async () => {
    const state = {
      status: 'running',
      current_phase: 'field_mapping',
      progress_percentage: 45,
      engagement: 'e1',
      extra: [1],
    }
    const put = await running.call('PUT', '/v1/flows/stated/state', { body: state })
    expect([put.status, put.json]).toEqual([200, state])
    expect((await running.call('GET', '/v1/flows/stated/state')).json).toEqual(state)
    const meta = {
      status: 'running',
      phase: 'field_mapping',
      progress: 45,
      updated_at: expect.stringMatching(/Z$/),
    }
    expect((await running.call('GET', '/v1/flows/stated/meta')).json).toEqual(meta)
    for (const query of ['', '?engagement=e1', '?status=running', '?recent=1', '?limit=1']) {
      const list: unknown = JSON.parse((await running.call('GET', `/v1/flows${query}`)).text)
      expect(list).toContainEqual(expect.objectContaining({ flow: 'stated', engagement: 'e1', ...meta }))
    }
    expect((await running.call('GET', '/v1/flows?engagement=other')).text).toBe('[]')

    expect((await running.call('DELETE', '/v1/flows/stated/state')).status).toBe(204)
    for (const what of ['state', 'meta']) {
      const gone = await running.call('GET', `/v1/flows/stated/${what}`)
      expect([gone.status, gone.json.code]).toEqual([404, 'NOT_FOUND'])
    }
  })

  it('refuses a number that would be written back as null', async () => {
    const put = await running.call('PUT', '/v1/flows/inf/state', { text: '{"a":[{"b":1e400}]}' })
    expect([put.status, put.json.code]).toEqual([400, 'INVALID_JSON'])
  })
})

describe('the server itself', () => {
  it('lives, and is ready because an event travels', async () => {
    expect((await running.call('GET', '/livez')).json).toEqual({ status: 'live' })
    const ready = await running.call('GET', '/readyz')
    expect([ready.status, ready.json]).toEqual([
      200,
      {
        status: 'ready',
        mode: 'embedded',
        term: 1,
        store: 'postgres',
        instance: running.spillway.instanceId,
        delivery_ms: expect.any(Number),
      },
    ])
  })

  it('proves readiness once for all who ask within a second', async () => {
    const answers = await Promise.all(Array.from({ length: 50 }, () => running.call('GET', '/readyz')))
    expect(new Set(answers.map(({ json }) => json.delivery_ms)).size).toBe(1)
  })

  it('documents every route that it serves', async () => {
    const { json } = await running.call('GET', '/openapi.json')
    expect(json.openapi).toBe('3.1.0')
    expect(Object.keys(json.paths as object).sort()).toEqual([
      '/livez',
      '/metrics',
      '/readyz',
      '/v1/admin/keys',
      '/v1/admin/keys/{id}',
      '/v1/admin/limits',
      '/v1/admin/limits/{name}',
      '/v1/admin/locks',
      '/v1/admin/locks/{name}',
      '/v1/admin/term',
      '/v1/admin/term/drill',
      '/v1/admin/term/turn',
      '/v1/flows',
      '/v1/flows/{flow}/events',
      '/v1/flows/{flow}/meta',
      '/v1/flows/{flow}/state',
      '/v1/flows/{flow}/stream',
      '/v1/limits/release',
      '/v1/limits/renew',
      '/v1/limits/take',
      '/v1/locks/{name}',
      '/v1/stream',
      '/v1/tickets',
    ])
    const references = [...JSON.stringify(json).matchAll(/"\$ref":"#\/components\/schemas\/(\w+)"/g)].map(
      ([, name]) => name,
    )
    const { schemas } = json.components as { schemas: object }
    expect(new Set(references)).toEqual(new Set(Object.keys(schemas)))
  })

  it('says which methods a path takes', async () => {
    const patch = await running.call('PATCH', '/v1/flows/a/events')
    expect([patch.status, patch.json.code, patch.headers.get('allow')]).toEqual([
      405,
      'METHOD_NOT_ALLOWED',
      'OPTIONS, POST, GET, HEAD',
    ])
    const options = await running.call('OPTIONS', '/v1/tickets')
    expect([options.status, options.headers.get('allow')]).toEqual([204, 'OPTIONS, POST'])
    const head = await running.call('HEAD', '/v1/flows')
    expect([head.status, head.text]).toEqual([200, ''])
  })

  it('tells browsers what to refuse', async () => {
    const { headers } = await running.call('GET', '/livez')
    expect(headers.get('content-security-policy')).toBe("default-src 'none'; frame-ancestors 'none'")
    expect(headers.get('x-content-type-options')).toBe('nosniff')
    const page = await running.call('GET', '/')
    expect(page.headers.get('content-type')).toContain('text/html')
    expect(page.headers.get('content-security-policy')).toContain("default-src 'self'")
    expect(page.headers.get('content-security-policy')).toContain("frame-ancestors 'none'")
    const stream = await openStream(`${running.url}/v1/flows/headed/stream`)
    expect(stream.headers['x-content-type-options']).toBe('nosniff')
    stream.close()
    expect(headers.get('strict-transport-security')).toBeNull()
  })
})
