import { SignJWT } from 'jose'
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { SpillwayClient } from '../../client/index.js'
import { eventually } from '../support/eventually.js'
import { type RedisServer, startRedis } from '../support/redis.js'
import { openStream, type SseReader } from '../support/sse.js'
import { type Running, start } from './running.js'

let server: RedisServer
beforeAll(async () => {
  server = await startRedis()
})
afterAll(() => server.remove())
beforeEach(async () => {
  await server.start('same')
  await server.ask('FLUSHALL')
})

/** Two instances on one Redis, and their end. */
async function two(body: (one: Running, other: Running) => Promise<void>, config = {}): Promise<void> {
  const running: Running[] = []
  try {
    for (let i = 0; i < 2; i++) running.push(await start({ redisUrl: server.url, ...config }))
    await body(running[0] as Running, running[1] as Running)
  } finally {
    await Promise.all(running.map((one) => one.stop()))
  }
}

const ready = async (running: Running) => (await running.call('GET', '/readyz')).status
const publish = (running: Running, flow: string, payload: unknown, query = '') =>
  running.call('POST', `/v1/flows/${flow}/events${query}`, { body: { type: 't', payload } })
const payloads = ({ frames }: SseReader) =>
  frames.map(({ event, data }) => (event === 'gap' ? 'gap' : JSON.parse(data).payload))

describe('a server on Redis alone', () => {
  it('says which mode it is in, and what it has not', () =>
    two(async (one, other) => {
      const { json } = await one.call('GET', '/readyz')
      expect(json).toMatchObject({ status: 'ready', mode: 'redis', store: 'redis' })
      expect((await other.call('GET', '/readyz')).json.term).toBe(json.term)
      expect((await one.call('GET', '/v1/admin/term')).json).toMatchObject({
        mode: 'redis',
        number: json.term,
        store: 'redis',
      })
      expect((await one.call('GET', '/metrics')).text).toContain('spillway_term_reigns{store="redis"} 1')
      const refused = [
        await publish(one, 'd', 1, '?durability=durable'),
        await one.call('POST', '/v1/admin/keys', { body: { scopes: ['publish'] } }),
        await one.call('GET', '/v1/admin/keys'),
        await one.call('DELETE', '/v1/admin/keys/0123456789abcdef'),
      ]
      for (const answer of refused) {
        expect([answer.status, answer.json.code]).toEqual([409, 'NO_DURABLE_STORE'])
        expect(answer.headers.get('retry-after')).toBeNull()
      }
      for (const path of ['turn', 'drill']) {
        const answer = await one.call('POST', `/v1/admin/term/${path}`, { body: {} })
        expect([answer.status, answer.json.code]).toEqual([400, 'INVALID_ARGUMENT'])
      }
    }))

  it('streams one flow and many over both instances, with cursors that go from one to the other', () =>
    two(async (one, other) => {
      const names = Array.from({ length: 40 }, (_, i) => `f${i}`)
      const single = await openStream(`${other.url}/v1/flows/f0/stream?after=0`)
      const many = await openStream(`${one.url}/v1/stream?flows=${names.join(',')}&after=0`)
      await eventually(() => many.lastEventId !== '')
      for (const name of names) expect((await publish(one, name, name)).status).toBe(201)
      await many.until(({ frames }) => frames.length === 40)
      await single.until(({ frames }) => frames.length === 1)
      many.close()
      // Longer than the places themselves fit into: it names a base that Redis keeps.
      expect(many.lastEventId.length).toBeLessThanOrEqual(128)
      for (const name of names) expect((await publish(other, name, `${name}!`)).status).toBe(201)
      const resumed = await openStream(`${other.url}/v1/stream?flows=${names.join(',')}`, {
        lastEventId: many.lastEventId,
      })
      await resumed.until(({ frames }) => frames.length === 40)
      expect(payloads(resumed).sort()).toEqual(names.map((name) => `${name}!`).sort())
      await single.until(({ frames }) => frames.length === 2)
      expect(payloads(single)).toEqual(['f0', 'f0!'])
      resumed.close()
      single.close()
    }))

  it('tells a reader of many flows of each one, where its cursor names places that this Redis does not have', () =>
    two(async (one, other) => {
      const names = Array.from({ length: 40 }, (_, i) => `g${i}`)
      for (const name of names) await publish(one, name, 1)
      const many = await openStream(`${one.url}/v1/stream?flows=${names.join(',')}&after=0`)
      await many.until(({ frames }) => frames.length === 40)
      many.close()
      const bases = (await server.ask('KEYS', 'stream:cursor:*')) as string[]
      expect(bases.length).toBeGreaterThan(0)
      await server.ask('DEL', ...bases)
      for (const name of names) await publish(one, name, 2)
      const resumed = await openStream(`${other.url}/v1/stream?flows=${names.join(',')}`, {
        lastEventId: many.lastEventId,
      })
      await resumed.until(({ frames }) => frames.length === 120)
      for (const name of names) {
        const own = resumed.frames.filter(({ data }) => JSON.parse(data).flow === name)
        expect(own.map(({ event }) => event)).toEqual(['gap', 't', 't'])
        expect(JSON.parse(own[0]?.data ?? '{}').reason).toBe('unknown')
      }
      resumed.close()
    }))

  it('keeps streams open while Redis is away, is not ready then, and goes on with a gap', () =>
    two(async (one, other) => {
      const reader = await openStream(`${other.url}/v1/flows/f/stream?after=0`)
      await publish(one, 'f', 1)
      await reader.until(({ frames }) => frames.length === 1)
      await server.kill()
      const refused = await publish(one, 'f', 2)
      expect([refused.status, refused.json.code, refused.headers.get('retry-after')]).toEqual([
        503,
        'STORE_UNAVAILABLE',
        '1',
      ])
      await eventually(async () => (await ready(one)) === 503)
      const opened = await openStream(`${one.url}/v1/flows/f/stream`)
      expect(opened.status).toBe(200)
      await server.start('empty')
      await eventually(async () => (await publish(one, 'f', 3)).status === 201, { withinMs: 20_000 })
      await reader.until(({ frames }) => frames.length === 3)
      expect(payloads(reader)).toEqual([1, 'gap', 3])
      expect(JSON.parse(reader.frames[1]?.data ?? '{}')).toMatchObject({ flow: 'f', reason: 'turn' })
      await publish(one, 'f', 4)
      await opened.until((it) => payloads(it).includes(4))
      reader.close()
      opened.close()
    }))

  it('honours tickets on every instance, also when Redis has lost what they are signed with', () =>
    two(async (one, other) => {
      const ticketOf = async (running: Running) =>
        String((await running.call('POST', '/v1/tickets', { body: { flows: ['f'] } })).json.ticket)
      const opens = async (running: Running, ticket: string) => {
        const reader = await openStream(`${running.url}/v1/flows/f/stream?ticket=${ticket}`)
        reader.close()
        return reader.status
      }
      const ticket = await ticketOf(one)
      expect(await opens(other, ticket)).toBe(200)
      const secret = await server.ask('GET', 'spillway:secret:{tickets}')
      const term = one.spillway.term.reign?.number ?? 0
      await server.ask('FLUSHALL')
      await eventually(() => (one.spillway.term.reign?.number ?? 0) > term)
      // Whoever has read it gives it back; who starts later takes that.
      await eventually(async () => (await server.ask('GET', 'spillway:secret:{tickets}')) === secret)
      const late = await start({ redisUrl: server.url })
      expect(await opens(late, ticket)).toBe(200)
      expect(await opens(one, await ticketOf(late))).toBe(200)
      await late.stop()
    }))

  it('lets JWTs in, and does not start with keys', async () => {
    const jwtSecret = 'a secret of thirty-two bytes, or so'
    await two(
      async (one) => {
        const token = await new SignJWT({ tenant: 'acme', scope: 'publish' })
          .setProtectedHeader({ alg: 'HS256' })
          .setExpirationTime('1m')
          .sign(new TextEncoder().encode(jwtSecret))
        const made = await one.call('POST', '/v1/flows/f/events', {
          body: { type: 't', payload: 1 },
          headers: { authorization: `Bearer ${token}` },
        })
        expect([made.status, made.json.durability]).toEqual([201, 'fast'])
        expect((await publish(one, 'f', 1)).status).toBe(401)
      },
      { auth: 'jwt', jwtSecret },
    )
    await expect(start({ redisUrl: server.url, auth: 'keys' })).rejects.toMatchObject({
      code: 'CONFIG_INVALID',
      message: expect.stringContaining('DATABASE_URL'),
    })
  })

  it('gives the client every event from the beginning, and no gap that there is not', () =>
    two(async (one, other) => {
      const client = new SpillwayClient({ baseUrl: other.url })
      const stopping = new AbortController()
      const got: unknown[] = []
      const reading = (async () => {
        for await (const message of client.subscribe('f', { after: '0', signal: stopping.signal }))
          got.push(message.kind === 'event' ? message.event.payload : message)
      })()
      await eventually(() => other.spillway.live.feed({ tenant: 'default', flow: 'f' }).place)
      for (let n = 1; n <= 5; n++) await publish(one, 'f', n)
      await eventually(() => got.length >= 5)
      expect(got).toEqual([1, 2, 3, 4, 5])
      stopping.abort()
      await reading
    }))
})
