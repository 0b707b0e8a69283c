import { afterAll, beforeAll, expect, it } from 'vitest'
import { eventually } from '../support/eventually.js'
import { collectGarbage } from '../support/garbage.js'
import { type PostgresServer, startPostgres } from '../support/postgres.js'
import { startRedis } from '../support/redis.js'
import { openStream } from '../support/sse.js'
import { type Running, start } from './running.js'

let postgres: PostgresServer
let url: string
beforeAll(async () => {
  postgres = await startPostgres()
  url = (await postgres.database()).url
})
afterAll(() => postgres.remove())

const ready = async (running: Running) => (await running.call('GET', '/readyz')).status

it('while the store is away: alive, not ready, refusing for a time, and streams stay open', async () => {
  const running = await start({ databaseUrl: url })
  const ticket = String((await running.call('POST', '/v1/tickets', { body: { flows: ['f'] } })).json.ticket)
  const reader = await openStream(`${running.url}/v1/flows/f/stream`)
  await eventually(async () => (await ready(running)) === 200)
  await postgres.stop('immediate')

  await eventually(async () => (await ready(running)) === 503)
  const unready = await running.call('GET', '/readyz')
  expect([unready.json.code, unready.headers.get('retry-after')]).toEqual(['NOT_READY', '1'])
  expect((await running.call('GET', '/livez')).status).toBe(200)
  const read = await running.call('GET', '/v1/flows/f/events')
  expect([read.status, read.json.code, read.headers.get('retry-after')]).toEqual([
    503,
    'STORE_UNAVAILABLE',
    '1',
  ])
  // A browser would not come back from a refusal.
  const opened = await openStream(`${running.url}/v1/flows/f/stream?ticket=${ticket}`)
  expect(opened.status).toBe(200)

  await postgres.start()
  await eventually(async () => (await ready(running)) === 200, { withinMs: 20_000 })
  const made = await running.call('POST', '/v1/flows/f/events', { body: { type: 't', payload: 1 } })
  expect(made.status).toBe(201)
  await reader.until(({ frames }) => frames.some(({ event }) => event === 't'))
  await opened.until(({ frames }) => frames.some(({ event }) => event === 't'))
  reader.close()
  opened.close()
  await running.stop()
})

it('while PostgreSQL is away and Redis is there, a page has what the hot tail has, and says that there may be more', async () => {
  const redis = await startRedis()
  const running = await start({ databaseUrl: url, redisUrl: redis.url })
  try {
    const path = '/v1/flows/heard/events'
    const reader = await openStream(`${running.url}/v1/flows/heard/stream?after=0`)
    // The hot tail is for flows that somebody is known to hear, once Redis is connected.
    const other = await openStream(`${running.url}/v1/flows/other/stream?after=0`)
    await eventually(async () => {
      await running.call('POST', '/v1/flows/other/events', { body: { type: 't', payload: 0 } })
      return Number(await redis.ask('XLEN', 'flow:events:{default:other}')) > 0
    })
    other.close()
    await eventually(async () => String(await redis.ask('PUBSUB', 'CHANNELS', '*')).includes('heard'))
    for (let n = 1; n <= 5; n++) await running.call('POST', path, { body: { type: 't', payload: n } })
    await reader.until(({ frames }) => frames.filter(({ event }) => event === 't').length === 5)
    await eventually(async () => (await redis.ask('XLEN', 'flow:events:{default:heard}')) === 5)
    await postgres.stop('immediate')
    const page = async (query: string) => {
      const { status, json } = await running.call('GET', `${path}?${query}`)
      const events = json.events as { id: string }[] | undefined
      return [status, events?.map(({ id }) => id), json.next]
    }
    expect(await page('after=1-2')).toEqual([200, ['1-3', '1-4', '1-5'], '1-5'])
    expect(await page('after=1-2&before=1-5')).toEqual([200, ['1-3', '1-4'], null])
    expect(await page('before=1-3&order=desc')).toEqual([200, ['1-2', '1-1'], null])
    expect(await page('after=1-5')).toEqual([503, undefined, undefined])
    expect(await page('order=desc')).toEqual([503, undefined, undefined])
    reader.close()
  } finally {
    await postgres.start()
    await running.stop()
    await redis.remove()
  }
})

it('is not ready when events are stored and do not arrive', async () => {
  const running = await start({ databaseUrl: url })
  await eventually(async () => (await ready(running)) === 200)
  running.spillway.live.close()
  // However much is collected while the proof is waited for.
  const collecting = setInterval(collectGarbage, 100)
  try {
    await eventually(async () => (await ready(running)) === 503)
  } finally {
    clearInterval(collecting)
  }
  const { json } = await running.call('GET', '/readyz')
  expect([json.code, json.detail]).toEqual(['NOT_READY', expect.stringMatching(/travels/)])
  await running.stop()
})
