import { once } from 'node:events'
import { connect } from 'node:net'
import { text as textOf } from 'node:stream/consumers'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { freshDatabase } from '../support/database.js'
import { eventually } from '../support/eventually.js'
import type { FreshDatabase } from '../support/postgres.js'
import { openStream, type SseReader } from '../support/sse.js'
import { openRig, type Rig } from './rig.js'

let database: FreshDatabase
let rig: Rig
let flow: string
let number = 0

beforeAll(async () => {
  database = await freshDatabase()
  rig = await openRig({ postgres: database.url }, { heartbeatMs: 100, streamStallMs: 2000 })
})
afterAll(async () => {
  await rig.close()
  await database.drop()
})
beforeEach(() => {
  number += 1
  flow = `flow-${number}`
})
afterEach(async () => {
  await eventually(() => rig.streams.size === 0, { what: 'every stream of the test being forgotten' })
})

/** Publishes so many events with a number from `from` on. */
async function publish(n: number, from = 1, on = rig): Promise<string[]> {
  const events = Array.from({ length: Math.min(n, 1000) }, (_, i) => ({
    type: 'step',
    payload: { n: from + i },
  }))
  const published = await on.spillway.tenant('acme').flow(flow).publishMany(events)
  const ids = published.map(({ id }) => id)
  return n > 1000 ? [...ids, ...(await publish(n - 1000, from + 1000, on))] : ids
}

const opened = (reader: SseReader) => reader.lastEventId !== ''
const data = (reader: SseReader) => reader.frames.map((frame) => JSON.parse(frame.data))
const got = (n: number) => (reader: SseReader) => reader.frames.length >= n

/** Sends text over a socket of its own and answers all that comes back, to the end. */
async function raw(url: string, request: (host: string, path: string) => string): Promise<string> {
  const { port, host, pathname, search } = new URL(url)
  const socket = connect(Number(port), '127.0.0.1')
  socket.write(request(host, `${pathname}${search}`))
  return textOf(socket)
}

describe('a stream of one flow', () => {
  test('begins with retry, then an id-only frame, before anything happens', async () => {
    const [, , last] = await publish(3)
    const reader = await openStream(rig.url(flow), { keepText: true })
    await reader.until(opened)
    expect(reader.status).toBe(200)
    expect(reader.headers).toMatchObject({
      'content-type': 'text/event-stream',
      'cache-control': 'no-cache, no-transform',
      'x-accel-buffering': 'no',
    })
    expect(reader.text()).toBe(`retry: 1000\n\nid: ${last}\n\n`)
    reader.close()
  })

  test('is live from now on without a cursor', async () => {
    await publish(3)
    const reader = await openStream(rig.url(flow))
    await reader.until(opened)
    const ids = await publish(2, 4)
    await reader.until(got(2))
    expect(reader.ids()).toEqual(ids)
    reader.close()
  })

  test('of a flow that does not exist yet gets its first event', async () => {
    const reader = await openStream(rig.url(flow))
    await reader.until(opened)
    const ids = await publish(1)
    await reader.until(got(1))
    expect(reader.ids()).toEqual(ids)
    reader.close()
  })

  test('starts at the beginning with 0, and in the middle with an id', async () => {
    const ids = await publish(1200)
    const all = await openStream(rig.url(flow, { after: '0' }))
    const some = await openStream(rig.url(flow, { after: '0' }), { lastEventId: ids[599] as string })
    await Promise.all([all.until(got(1200)), some.until(got(600))])
    const more = await publish(3, 1201)
    await Promise.all([all.until(got(1203)), some.until(got(603))])
    expect(all.ids()).toEqual([...ids, ...more])
    expect(some.ids()).toEqual([...ids.slice(600), ...more])
    all.close()
    some.close()
  })

  test.each([
    ['words', 'garbage'],
    ['three numbers', '1-2-3'],
    ['a negative number', '-1'],
    ['a leading zero', '1-01'],
    ['4,000 characters', 'A'.repeat(4000)],
    ['a cursor over several flows', 'AQIDBAU'],
    ['a number beyond all', '9'.repeat(30)],
  ])('tells who comes with %s as a cursor that nobody knows it, and gives everything', async (_, cursor) => {
    const ids = await publish(3)
    const reader = await openStream(rig.url(flow), { lastEventId: cursor })
    await reader.until(got(4))
    const [gap, ...events] = reader.frames
    expect(gap?.event).toBe('gap')
    expect(JSON.parse(gap?.data ?? '')).toMatchObject({ flow, reason: 'unknown' })
    expect(events.map(({ id }) => id)).toEqual(ids)
    reader.close()
  })

  test('ahead of the log is told so, and goes on', async () => {
    await publish(3)
    const reader = await openStream(rig.url(flow), { lastEventId: '1-10' })
    await reader.until(got(1))
    expect(data(reader)[0]).toEqual({ flow, from: '1-4', to: '1-10', reason: 'unknown' })
    const ids = await publish(1, 4)
    await reader.until(got(2))
    expect(reader.ids().slice(1)).toEqual(ids)
    reader.close()
  })

  test('names what was trimmed, with an id to go on from', async () => {
    const small = await openRig({ postgres: database.url }, { retentionEvents: 5 })
    try {
      await publish(2000, 1, small)
      const history = () => small.spillway.tenant('acme').flow(flow).history({ last: 1000 })
      await eventually(async () => (await history()).length < 1000, { what: 'the trimming' })
      const reader = await openStream(small.url(flow), { lastEventId: '1-1' })
      await reader.until(({ lastEventId }) => lastEventId === '1-2000')
      const [gap, next] = reader.frames
      const { from, to, reason } = JSON.parse(gap?.data ?? '')
      expect({ event: gap?.event, from, reason }).toEqual({ event: 'gap', from: '1-2', reason: 'trimmed' })
      expect(gap?.id).toBe(to)
      expect(next?.id).toBe(`1-${Number(to.slice(2)) + 1}`)
      reader.close()
      const again = await openStream(small.url(flow), { lastEventId: gap?.id ?? '' })
      await again.until(({ lastEventId }) => lastEventId === '1-2000')
      expect(again.ids()).toEqual(reader.ids().slice(1))
      again.close()
    } finally {
      await small.close()
    }
  })

  test('has a heartbeat', async () => {
    const reader = await openStream(rig.url(flow), { keepText: true })
    await reader.until(({ comments }) => comments.length >= 2)
    expect(reader.text()).toMatch(/\n\n:\n\n(?::\n\n)+$/)
    reader.close()
  })

  test('reaches a client of HTTP/1.0 without chunks', async () => {
    await publish(2)
    const { port, pathname, search } = new URL(rig.url(flow, { after: '0' }))
    const socket = connect(Number(port), '127.0.0.1').setEncoding('utf8')
    socket.write(`GET ${pathname}${search} HTTP/1.0\r\n\r\n`)
    let text = ''
    for await (const chunk of socket) {
      text += chunk
      if (text.includes('1-2')) break
    }
    const [head = '', body = ''] = text.split('\r\n\r\n')
    expect(head).not.toMatch(/transfer-encoding/i)
    // Heartbeats stand between frames wherever a busy machine takes its time.
    const frames = body.replaceAll(/^:\n\n/gm, '')
    expect(frames).toMatch(/^retry: 1000\n\nid: 1-0\n\nid: 1-1\nevent: step\n/)
  })

  test('asked for behind another answer on the same socket ends, and is not kept', async () => {
    const get = (host: string, path: string) => `GET ${path} HTTP/1.1\r\nHost: ${host}\r\n\r\n`
    const { port, host } = new URL(rig.url(flow))
    const socket = connect(Number(port), '127.0.0.1').setEncoding('utf8')
    const first = new URL(rig.url(flow))
    socket.write(get(host, `${first.pathname}${first.search}`).repeat(2))
    await eventually(() => rig.streams.size === 1)
    socket.destroy()
    await eventually(() => rig.streams.size === 0)
    expect(rig.streams.size).toBe(0)
  })

  test('forgets clients that vanish, at whatever moment', async () => {
    for (let round = 0; round < 40; round++) {
      const { port, pathname, search, host } = new URL(
        rig.url(round % 2 ? flow : [flow, 'other'], { after: '0' }),
      )
      const socket = connect(Number(port), '127.0.0.1')
      const request = `GET ${pathname}${search} HTTP/1.1\r\nHost: ${host}\r\n\r\n`
      if (round % 4 === 0) socket.end(request)
      else socket.write(request, () => (round % 3 === 0 ? socket.resetAndDestroy() : socket.destroy()))
      socket.on('error', () => undefined)
      if (round % 5 === 0) await publish(1, round)
    }
    // What opened too late to be seen above has gone too.
    const reader = await openStream(rig.url(flow))
    await reader.until(opened)
    await eventually(() => rig.streams.size === 1)
    reader.close()
    await eventually(() => rig.streams.size === 0)
  })
})

describe('the limit of a tenant', () => {
  test('is refused before anything is sent, counts each tenant for itself, and frees what closed', async () => {
    const limited = await openRig({ postgres: database.url }, { maxConnectionsPerTenant: 2 })
    try {
      const readers = await Promise.all([openStream(limited.url('a')), openStream(limited.url(['b', 'c']))])
      const refused = await openStream(limited.url('a'), { keepText: true })
      await refused.closed
      expect([refused.status, refused.text()]).toEqual([429, 'TOO_MANY_CONNECTIONS'])
      const other = await openStream(limited.url('a', { tenant: 'other' }))
      expect(other.status).toBe(200)
      expect(limited.streams.size).toBe(3)
      readers[1]?.close()
      await eventually(() => limited.streams.size === 2)
      const next = await openStream(limited.url('a'))
      expect(next.status).toBe(200)
      for (const reader of [...readers, other, next]) reader.close()
      await eventually(() => limited.streams.size === 0)
    } finally {
      await limited.close()
    }
  })
})

describe('the end of a stream', () => {
  test('comes properly at 80 to 100 % of its life, and the reader loses and repeats nothing', async () => {
    const short = await openRig({ postgres: database.url }, { streamLifeMs: 1000 })
    try {
      const seen: string[] = []
      const lives: number[] = []
      let last = '0'
      let published: string[] = []
      let publishing = true
      const writer = (async () => {
        for (let n = 1; publishing; n++) published = published.concat(await publish(1, n, short))
      })()
      for (let life = 0; life < 3; life++) {
        const started = performance.now()
        const reader = await openStream(short.url(flow), { lastEventId: last })
        await reader.closed
        lives.push(performance.now() - started)
        seen.push(...reader.ids())
        last = reader.lastEventId
      }
      publishing = false
      await writer
      expect(seen).toEqual(published.slice(0, seen.length))
      expect(seen.length).toBeGreaterThan(10)
      // A second behind at most: the timer of all streams ticks once a second.
      for (const life of lives) expect(life).toBeGreaterThan(750)
      for (const life of lives) expect(life).toBeLessThan(2500)
      const chunked = await raw(
        short.url(flow),
        (host, path) => `GET ${path} HTTP/1.1\r\nHost: ${host}\r\n\r\n`,
      )
      expect(chunked.endsWith('\r\n0\r\n\r\n')).toBe(true)
    } finally {
      await short.close()
    }
  })

  test('comes also for readers that do not take it: one that stopped, one that never closes', async () => {
    const short = await openRig(
      { postgres: database.url },
      { streamLifeMs: 1000, streamStallMs: 300, streamBufferBytes: 65_536 },
    )
    try {
      const { port, host, pathname, search } = new URL(short.url(flow))
      const request = `GET ${pathname}${search} HTTP/1.1\r\nHost: ${host}\r\n\r\n`
      const open = async (allowHalfOpen: boolean) => {
        const socket = connect({ port: Number(port), host: '127.0.0.1', allowHalfOpen })
        socket.on('error', () => undefined)
        socket.write(request)
        await once(socket, 'data')
        return socket
      }
      const stopped = await open(false)
      stopped.pause()
      const silent = await open(true)
      silent.resume()
      expect(short.streams.size).toBe(2)
      const payload = 'z'.repeat(200_000)
      // More than the kernel takes, so that the end of the answer never leaves the server.
      for (let i = 0; i < 50; i++) {
        await short.spillway.tenant('acme').flow(flow).publish('step', payload)
      }
      await eventually(() => short.streams.size === 0, { what: 'the cut of both' })
      expect(short.streams.size).toBe(0)
      stopped.destroy()
      silent.destroy()
    } finally {
      await short.close()
    }
  })

  test('of all streams is a drain, after which none is opened', async () => {
    const draining = await openRig({ postgres: database.url })
    try {
      const readers = await Promise.all(
        Array.from({ length: 120 }, (_, i) => openStream(draining.url(i % 2 ? `f${i % 7}` : ['a', `b${i}`]))),
      )
      await draining.streams.drain(200)
      await Promise.all(readers.map((reader) => reader.closed))
      expect(readers.every((reader) => reader.lastEventId !== '' || reader.retryMs === 1000)).toBe(true)
      await eventually(() => draining.streams.size === 0)
      const refused = await openStream(draining.url('a'), { keepText: true })
      await refused.closed
      expect([refused.status, refused.text()]).toEqual([503, 'DRAINING'])
    } finally {
      await draining.close()
    }
  })
})
