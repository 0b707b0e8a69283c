import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { eventually } from '../support/eventually.js'
import { type RedisServer, startRedis } from '../support/redis.js'
import { run } from './running.js'

let server: RedisServer
let folder: string
beforeAll(async () => {
  // Set to lose what it is given, which it will not have to.
  server = await startRedis({ maxmemory: '500mb', 'maxmemory-policy': 'volatile-lru' })
  folder = await mkdtemp(join(tmpdir(), 'spillway-cli-'))
})
afterAll(async () => {
  await server.remove()
  await rm(folder, { recursive: true, force: true })
})

const env = () => ({
  REDIS_URL: server.url,
  SPILLWAY_DATA_DIR: join(folder, 'data'),
  SPILLWAY_LOG_LEVEL: 'warn',
})

it('the demo runs on a Redis alone, end to end, and says that nothing is durable', async () => {
  const demo = run(['demo', '--serve', '--port', '0', '--json'], env())
  await demo.until(/"rows":2946/)
  const [where, result] = demo
    .said()
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line))
  expect(where).toMatchObject({ mode: 'redis', store: 'Redis' })
  const ready = await (await fetch(`${where.url}/readyz`)).json()
  expect(ready).toMatchObject({ status: 'ready', mode: 'redis', store: 'redis' })
  // Another process on the same Redis is the same Spillway.
  const json = async (...args: string[]) => {
    const { code, out } = await run([...args, '--json'], env()).ended
    expect(code).toBe(0)
    return out
      .trim()
      .split('\n')
      .flatMap((line) => JSON.parse(line))
  }
  expect(await json('flow', 'list')).toMatchObject([
    { flow: result.flow, status: 'completed', engagement: 'discovery', durability: 'fast' },
  ])
  const history = await json('flow', 'history', result.flow, '--last', '1')
  expect(history).toMatchObject([{ type: 'flow_completed', payload: { rows: 2946 } }])
  expect(await json('failover', 'status')).toMatchObject([
    { mode: 'redis', store: 'redis', warning: expect.stringContaining('set noeviction') },
  ])
  const tail = run(['flow', 'tail', result.flow, '--json'], env())
  const published = () =>
    fetch(`${where.url}/v1/flows/${result.flow}/events`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: '{"type":"hello","payload":1}',
    })
  // It says nothing before its first event, so that one is tried until it has come.
  await eventually(
    async () => {
      await published()
      return tail.said().includes('"hello"')
    },
    { everyMs: 200, withinMs: 20_000 },
  )
  tail.signal('SIGINT')
  expect((await tail.ended).code).toBe(0)
  demo.signal('SIGTERM')
  const { code, err } = await demo.ended
  expect(code).toBe(0)
  expect(err.match(/every flow is fast/g)).toHaveLength(1)
  expect(err.match(/maxmemory-policy volatile-lru.*set noeviction/g)).toHaveLength(1)
}, 120_000)

it.each([
  { args: ['serve'], extra: { SPILLWAY_AUTH: 'keys' }, code: 1, says: /SPILLWAY_AUTH=keys needs PostgreSQL/ },
  { args: ['key', 'list'], extra: {}, code: 1, says: /API keys are kept in PostgreSQL/ },
  { args: ['migrate'], extra: {}, code: 1, says: /DATABASE_URL is not set/ },
  { args: ['failover', 'turn'], extra: {}, code: 2, says: /DATABASE_URL is not set/ },
  { args: ['failover', 'drill'], extra: {}, code: 2, says: /DATABASE_URL is not set/ },
])('refuses in one line what a Redis alone has not: $args', async ({ args, extra, code, says }) => {
  const ended = await run(args, { ...env(), ...extra }).ended
  expect([ended.code, ended.out]).toEqual([code, ''])
  expect(ended.err.trim().split('\n')).toEqual([expect.stringMatching(says)])
})

it('ends in one line where the Redis is not there', async () => {
  const { code, err } = await run(['flow', 'list'], { ...env(), REDIS_URL: 'redis://127.0.0.1:1' }).ended
  expect(code).toBe(1)
  expect(err).toMatch(/^spillway: Redis is not available: .*\n$/)
})
