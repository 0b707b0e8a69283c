import { afterAll, beforeAll, expect, it } from 'vitest'
import { freshDatabase } from '../support/database.js'
import { eventually } from '../support/eventually.js'
import { type Link, startLink } from '../support/faults/link.js'
import type { FreshDatabase } from '../support/postgres.js'
import { type RedisServer, startRedis } from '../support/redis.js'
import { openStream } from '../support/sse.js'
import { type Running, start } from './running.js'

let database: FreshDatabase
let redis: RedisServer
let link: Link
let apart: Running
let whole: Running
beforeAll(async () => {
  database = await freshDatabase()
  redis = await startRedis()
  link = await startLink(redis.url)
  apart = await start({ databaseUrl: database.url, redisUrl: link.url })
  whole = await start({ databaseUrl: database.url, redisUrl: redis.url })
})
afterAll(async () => {
  await apart?.stop()
  await whole?.stop()
  await link?.close()
  await redis?.remove()
  await database?.drop()
})

const PATH = '/v1/flows/fast/events?durability=fast'
const publish = async (n: number) => {
  const { status } = await whole.call('POST', PATH, { body: { type: 't', payload: n } })
  expect(status).toBe(201)
}
const status = async ({ call }: Running) => (await call('GET', '/readyz')).status

it('an instance that alone cannot reach Redis is unready, sends its readers to the others, and comes back', async () => {
  const reigns = (store: string) =>
    eventually(() => [apart, whole].every(({ spillway }) => spillway.term.reign?.store === store), {
      withinMs: 20_000,
    })
  await reigns('redis')
  const { number } = whole.spillway.termReport()
  await publish(1)
  const stream = '/v1/flows/fast/stream'
  const reader = await openStream(`${apart.url}${stream}?after=0`)
  await reader.until(({ frames }) => frames.length === 1)
  link.blackHole()
  await eventually(async () => (await status(apart)) === 503)
  await publish(2)
  // It ends properly, and its reader goes on where it was.
  await reader.closed
  const resumed = await openStream(`${whole.url}${stream}`, { lastEventId: reader.lastEventId })
  await resumed.until(({ frames }) => frames.length === 1)
  expect(resumed.frames[0]?.data).toContain('"payload":2')
  expect([await status(whole), whole.spillway.termReport().number]).toEqual([200, number])

  await link.heal()
  await eventually(async () => (await status(apart)) === 200)
  const back = await openStream(`${apart.url}${stream}`, { lastEventId: reader.lastEventId })
  await publish(3)
  await back.until(({ frames }) => frames.length === 2)
  expect(apart.spillway.termReport().number).toBe(number)
  resumed.close()
  back.close()
})
