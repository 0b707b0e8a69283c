import { afterEach, describe, expect, test } from 'vitest'
import {
  type ClientError,
  type ClientOptions,
  type Message,
  SpillwayClient,
  type StreamStatus,
} from '../../client/index.js'
import { eventually } from '../support/eventually.js'
import { type Answer, deferred, frame, openWire, problem, quick, stream, type Wire } from './wire.js'

let wire: Wire
afterEach(() => wire.close())

const HELLO = 'retry: 100\n\nid: 1-0\n\n'
const text = (message: Message) =>
  message.kind === 'event'
    ? message.event.id
    : `gap ${message.gap.from} ${message.gap.to} ${message.gap.reason}`

interface Reading extends ClientOptions {
  readonly flows?: string | string[]
  readonly after?: string
}

/** Reads so many messages over these answers; says what was read and what the statuses were. */
async function read(
  count: number,
  answers: readonly Answer[],
  { flows = 'f', after, ...options }: Reading = {},
) {
  wire = await openWire(...answers)
  const client = new SpillwayClient({ baseUrl: wire.url, ...options })
  const statuses: StreamStatus[] = []
  const got: string[] = []
  const from = after === undefined ? {} : { after }
  for await (const message of client.subscribe(flows, {
    ...from,
    onStatus: (status) => statuses.push(status),
  })) {
    got.push(text(message))
    if (got.length === count) break
  }
  return {
    got,
    statuses,
    headers: wire.asked.map(({ headers }) => headers),
    urls: wire.asked.map(({ url }) => url),
  }
}

describe('a subscription', () => {
  test('goes on after an orderly end from the last id seen, an id-only frame included', async () => {
    const { got, headers, urls } = await read(3, [
      stream(`${HELLO}${frame('1-1')}${frame('1-2')}`, { end: true }),
      stream('id: 1-2\n\n', { end: true }),
      stream(frame('1-3')),
    ])
    expect(got).toEqual(['1-1', '1-2', '1-3'])
    expect(headers.map((header) => header['last-event-id'])).toEqual([undefined, '1-2', '1-2'])
    expect(urls).toEqual(Array(3).fill('/v1/flows/f/stream'))
  })

  test('resumes from the id-only frame when no event came', async () => {
    const { headers } = await read(1, [stream('id: 1-41\n\n', { end: true }), stream(frame('1-42'))])
    expect(headers[1]?.['last-event-id']).toBe('1-41')
  })

  test('sends after until a connection has given an id', async () => {
    const { urls } = await read(1, [stream('retry: 100\n\n', { end: true }), stream(frame('1-5'))], {
      after: '1-4',
    })
    expect(urls).toEqual(Array(2).fill('/v1/flows/f/stream?after=1-4'))
  })

  test('drops what it has had and reports the hole that nobody announced', async () => {
    const { got } = await read(
      5,
      [
        stream(`${frame('1-1')}${frame('1-2')}`, { end: true }),
        stream(`${frame('1-1')}${frame('1-2')}${frame('1-5')}${frame('1-6')}`),
      ],
      { after: '0' },
    )
    expect(got).toEqual(['1-1', '1-2', 'gap 1-3 1-4 unknown', '1-5', '1-6'])
  })

  test('hands on an announced gap once, though it is announced on every connection', async () => {
    const gap = `event: gap\ndata: ${JSON.stringify({ flow: 'f', from: '1-2', to: '1-8', reason: 'trimmed' })}\n\n`
    const { got } = await read(3, [stream(frame('1-1') + gap, { end: true }), stream(gap + frame('1-9'))])
    expect(got).toEqual(['1-1', 'gap 1-2 1-8 trimmed', '1-9'])
  })

  test('survives what a failing store, a proxy and a dead network answer', async () => {
    const cut: Answer = (response) => response.destroy()
    const portal: Answer = (response) => {
      response.writeHead(200, { 'content-type': 'text/html' }).end('<p>Sign in')
    }
    const half: Answer = (response, request) => {
      stream(`${frame('1-1')}${frame('1-2').slice(0, 30)}`)(response, request)
      response.destroy()
    }
    const { got, statuses } = await read(
      2,
      [
        stream(HELLO, { end: true }),
        problem(503, 'STORE_UNAVAILABLE'),
        cut,
        portal,
        stream(HELLO, { end: true }),
        half,
        problem(500, 'INTERNAL'),
        problem(429, 'TOO_MANY_CONNECTIONS'),
        stream(frame('1-1') + frame('1-2')),
      ],
      { after: '0', fetch: quick },
    )
    expect(got).toEqual(['1-1', '1-2'])
    const errors = statuses.flatMap((status) =>
      status.state === 'waiting' ? [(status.error as ClientError | undefined)?.code] : [],
    )
    expect(errors).toContain('STORE_UNAVAILABLE')
    expect(errors).toContain('TOO_MANY_CONNECTIONS')
    expect(errors).toContain('PROTOCOL')
    expect(errors).toContain('NETWORK')
    expect(statuses.at(-1)).toEqual({ state: 'closed', error: undefined })
  })

  test('waits as long as Retry-After asks', async () => {
    const { statuses } = await read(1, [
      problem(503, 'DRAINING', { 'retry-after': '1' }),
      stream(frame('1-1')),
    ])
    const waited = statuses.find((status) => status.state === 'waiting')
    expect(waited?.retryInMs).toBeGreaterThanOrEqual(1000)
    expect(waited?.retryInMs).toBeLessThanOrEqual(1250)
  })

  test.each([
    [400, 'INVALID_CURSOR'],
    [403, 'FORBIDDEN'],
    [404, 'NOT_FOUND'],
    [401, 'UNAUTHENTICATED'],
  ])('ends with the error when it is refused for good: %i', async (status, code) => {
    const refused = read(1, [problem(status, code)], { token: 'fixed' })
    await expect(refused).rejects.toMatchObject({
      name: 'ClientError',
      status,
      code,
      message: `${code} it is`,
    })
    expect(wire.asked).toHaveLength(1)
  })

  test('takes a connection that says nothing for dead, even before its head', async () => {
    const silent: Answer = () => {}
    const { got, statuses } = await read(
      2,
      [stream(HELLO, { end: true }), silent, stream(frame('1-1')), stream(frame('1-2'))],
      {
        silenceMs: 150,
        fetch: quick,
      },
    )
    expect(got).toEqual(['1-1', '1-2'])
    expect(statuses.filter(({ state }) => state === 'connecting')).toHaveLength(4)
  })

  test('a heartbeat keeps it alive', async () => {
    const beating: Answer = (response, request) => {
      stream(HELLO)(response, request)
      let beats = 0
      const timer = setInterval(() => {
        beats += 1
        if (beats === 10) response.write(frame('1-1'))
        else response.write(':\n\n')
      }, 50)
      response.on('close', () => clearInterval(timer))
    }
    await read(1, [beating], { silenceMs: 300 })
    expect(wire.asked).toHaveLength(1)
  })

  test('renews a ticket that ran out, and gives up when the new one is refused too', async () => {
    let tickets = 0
    const ticket = async (flows: readonly string[]) => `${flows.join('+')}-${++tickets}`
    const { got, urls } = await read(
      2,
      [stream(frame('1-1'), { end: true }), problem(401, 'UNAUTHENTICATED'), stream(frame('1-2'))],
      { ticket, fetch: quick },
    )
    expect(got).toEqual(['1-1', '1-2'])
    expect(urls.map((url) => url?.split('ticket=')[1])).toEqual(['f-1', 'f-1', 'f-2'])
    await wire.close()
    await expect(read(1, [problem(401, 'UNAUTHENTICATED')], { ticket })).rejects.toMatchObject({
      status: 401,
    })
    expect(wire.asked).toHaveLength(2)
  })

  test('asks for the token at every connection', async () => {
    let tokens = 0
    const { headers } = await read(1, [problem(401, 'UNAUTHENTICATED'), stream(frame('1-1'))], {
      token: () => `t${++tokens}`,
      tenant: 'acme',
    })
    expect(headers.map(({ authorization }) => authorization)).toEqual(['Bearer t1', 'Bearer t2'])
    expect(headers[0]?.['x-spillway-tenant']).toBe('acme')
  })

  test('several flows share one opaque cursor and are counted apart', async () => {
    const on = (cursor: string, id: string, flow: string) =>
      frame(id, 'tick', null, flow).replace(/^id: .*/, `id: ${cursor}`)
    const { got, headers, urls } = await read(
      5,
      [
        stream(on('c1', '1-4', 'a') + on('c2', '1-9', 'b,c'), { end: true }),
        stream(on('c3', '1-7', 'a') + on('c4', '1-10', 'b,c')),
      ],
      { flows: ['a', 'b,c'], fetch: quick },
    )
    expect(got).toEqual(['1-4', '1-9', 'gap 1-5 1-6 unknown', '1-7', '1-10'])
    expect(urls[0]).toBe('/v1/stream?flows=a,b%2Cc')
    expect(headers[1]?.['last-event-id']).toBe('c2')
  })

  test('reads no further than its caller: a caller that stops slows the server down', async () => {
    let sent = 0
    const flood: Answer = (response, request) => {
      stream(HELLO)(response, request)
      const pour = () => {
        while (!response.destroyed && response.write(frame(`1-${++sent}`, 'tick', 'x'.repeat(10_000)))) {}
      }
      response.on('drain', pour)
      pour()
    }
    wire = await openWire(flood)
    const messages = new SpillwayClient({ baseUrl: wire.url }).subscribe('f', { after: '0' })
    await messages.next()
    let before = -1
    const settled = () => {
      const still = before === sent
      before = sent
      return still
    }
    await eventually(settled, { everyMs: 200, what: 'the end of the flood' })
    // Kernel buffers and one read ahead: some megabytes, not all that there is.
    expect(sent * 10_000).toBeLessThan(20_000_000)
    for (let n = 2; n <= before + 500; n += 1) {
      const { value } = await messages.next()
      expect(value?.kind === 'event' && value.event.id).toBe(`1-${n}`)
    }
    await messages.return?.()
  })

  test('ends at once and quietly when its signal aborts or its reader leaves, also while it waits', async () => {
    wire = await openWire(stream(HELLO))
    const client = new SpillwayClient({ baseUrl: wire.url })
    const abort = new AbortController()
    const opened = deferred<void>()
    const first = client.subscribe('f', {
      signal: abort.signal,
      onStatus: ({ state }) => state === 'open' && opened.resolve(),
    })
    const next = first.next()
    await opened.promise
    abort.abort()
    expect(await next).toEqual({ done: true, value: undefined })
    const second = client.subscribe('f')
    const waiting = second.next()
    await second.return?.()
    expect(await waiting).toEqual({ done: true, value: undefined })
    await eventually(() => wire.asked.every(({ destroyed }) => destroyed))
  })

  test('watch calls back in order, waits for each callback, and closes', async () => {
    wire = await openWire(stream(HELLO + frame('1-1') + frame('1-2') + frame('1-4')))
    const heard: string[] = []
    const closed = deferred<void>()
    const watch = new SpillwayClient({ baseUrl: wire.url }).watch('f', {
      onEvent: async ({ id }) => {
        await Promise.resolve()
        heard.push(id)
        if (id === '1-4') watch.close()
      },
      onGap: ({ from, to }) => void heard.push(`${from}..${to}`),
      onStatus: ({ state }) => state === 'closed' && closed.resolve(),
    })
    await closed.promise
    expect(heard).toEqual(['1-1', '1-2', '1-3..1-3', '1-4'])
  })

  test('an error of a callback is not lost', async () => {
    wire = await openWire(stream(HELLO + frame('1-1')))
    const failed = deferred<Error | undefined>()
    new SpillwayClient({ baseUrl: wire.url }).watch('f', {
      onEvent: () => {
        throw new Error('mine')
      },
      onStatus: (status) => status.state === 'closed' && status.error && failed.resolve(status.error),
    })
    expect((await failed.promise)?.message).toBe('mine')
  })
})
