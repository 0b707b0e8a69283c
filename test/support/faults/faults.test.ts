import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, rmSync } from 'node:fs'
import { connect } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as pause } from 'node:timers/promises'
import { Client } from 'pg'
import { afterEach, beforeEach, expect, it } from 'vitest'
import { eventually } from '../eventually.js'
import { startPostgres } from '../postgres.js'
import { type RedisServer, startRedis } from '../redis.js'
import { clockJump, newClock } from './clock.js'
import { startLink } from './link.js'
import { linkFault } from './link-faults.js'
import { postgresKilled, postgresStopped, processFrozen } from './process-faults.js'
import {
  clientsPaused,
  follow,
  laggingPromotion,
  redisBusy,
  redisFlushed,
  redisFrozen,
  redisKilled,
} from './redis-faults.js'

const cleanups: (() => Promise<unknown> | unknown)[] = []
afterEach(async () => {
  for (const clean of cleanups.splice(0).reverse()) await clean()
})

let redis: RedisServer
const started = async (config = {}) => {
  const server = await startRedis({
    appendfsync: 'always',
    'enable-debug-command': 'local',
    'repl-diskless-sync-delay': '0',
    ...config,
  })
  cleanups.push(() => server.remove())
  return server
}
beforeEach(async () => {
  redis = await started()
})

/** True if this promise is still open after a moment: what stands still can only be looked at for a while. */
const waits = (promise: Promise<unknown>) =>
  Promise.race([promise.then(() => false), pause(150).then(() => true)])

it.each([
  ['same', ['1', '2']],
  ['empty', [null, null]],
  ['older', ['1', null]],
] as const)('kills Redis, which comes back with the %s data', async (data, expected) => {
  await redis.ask('SET', 'one', '1')
  const nemesis = redisKilled(redis, data, async () => void (await redis.ask('SET', 'two', '2')))
  if (data !== 'older') await redis.ask('SET', 'two', '2')
  await nemesis.begin()
  await expect(redis.ask('PING')).rejects.toThrow()
  await nemesis.end()
  expect(await redis.ask('MGET', 'one', 'two')).toEqual(expected)
})

it('kills Redis, which comes back with its first writes and without its last', async () => {
  for (let i = 0; i < 30; i++) await redis.ask('RPUSH', 'list', String(i))
  const nemesis = redisKilled(redis, 'truncated')
  await nemesis.begin()
  await nemesis.end()
  const kept = await redis.ask('LRANGE', 'list', '0', '-1')
  if (!Array.isArray(kept)) throw new Error('no list')
  expect(kept.length).toBeGreaterThan(5)
  expect(kept.length).toBeLessThan(30)
  expect(kept).toEqual(kept.map((_, i) => String(i)))
})

it.each([
  ['SIGSTOP', () => redisFrozen(redis)],
  ['CLIENT PAUSE', () => clientsPaused(redis, 'ALL', 600)],
  ['DEBUG SLEEP', () => redisBusy(redis, 0.5)],
] as const)('keeps Redis from answering by %s, until it ends', async (_, make) => {
  const nemesis = make()
  await nemesis.begin()
  const answer = redis.ask('INCR', 'count')
  expect(await waits(answer)).toBe(true)
  await nemesis.end()
  expect(await answer).toBe(1)
})

it('pauses writes alone', async () => {
  const nemesis = clientsPaused(redis, 'WRITE', 600_000)
  await nemesis.begin()
  const write = redis.ask('INCR', 'count')
  expect(await redis.ask('GET', 'count')).toBe(null)
  expect(await waits(write)).toBe(true)
  await nemesis.end()
  expect(await write).toBe(1)
})

it('says that DEBUG SLEEP is not allowed, instead of doing nothing', async () => {
  const strict = await started({ 'enable-debug-command': 'no' })
  await expect(redisBusy(strict, 1).begin()).rejects.toThrow('DEBUG')
})

it('flushes everything and keeps the identity', async () => {
  const identity = async () => /run_id:(\w+)/.exec(String(await redis.ask('INFO', 'server')))?.[1]
  const before = await identity()
  await redis.ask('SET', 'one', '1')
  await redisFlushed(redis).begin()
  expect(await redis.ask('DBSIZE')).toBe(0)
  expect(await identity()).toBe(before)
})

it('promotes a replica that lags, and makes the old master its replica', async () => {
  const replica = await started()
  const replication = await startLink(redis.url)
  const link = await startLink(redis.url)
  cleanups.push(
    () => replication.close(),
    () => link.close(),
  )
  const master = redis
  const pair = { master, replica, replication, links: () => [link] }
  await follow(pair)
  const through = (...command: string[]) => askThrough(Number(new URL(link.url).port), command.join(' '))
  expect(await through('XADD log 1-1 key a')).toContain('1-1')
  await eventually(async () => (await replica.ask('XLEN', 'log')) === 1)
  const nemesis = laggingPromotion(pair, async () => void (await through('XADD log 1-2 key b')))
  await nemesis.begin()
  // The accident itself: a number that was acknowledged is given again.
  expect(await through('XADD log 1-2 key c')).toContain('1-2')
  await nemesis.end()
  expect(pair.master).toBe(replica)
  const entries = JSON.stringify(await master.ask('XRANGE', 'log', '-', '+'))
  expect(entries).toBe('[["1-1",["key","a"]],["1-2",["key","c"]]]')
})

it('breaks the link of one instance and of no other', async () => {
  const [one, two] = [await startLink(redis.url), await startLink(redis.url)]
  cleanups.push(
    () => one.close(),
    () => two.close(),
  )
  const ask = (link: typeof one) => askThrough(Number(new URL(link.url).port), 'PING')
  const nemesis = linkFault('Redis', 'refused', () => ({ name: 'one', link: one }))
  await nemesis.begin()
  expect(nemesis.name).toBe('Redis refused for one')
  await expect(ask(one)).rejects.toThrow('ECONNREFUSED')
  expect(await ask(two)).toBe('+PONG\r\n')
  await nemesis.end()
  expect(await ask(one)).toBe('+PONG\r\n')
})

it('drops what a black hole has swallowed where that is asked for', async () => {
  const link = await startLink(redis.url)
  cleanups.push(() => link.close())
  const port = Number(new URL(link.url).port)
  for (const late of ['dropped', 'delivered'] as const) {
    await redis.ask('DEL', 'count')
    const nemesis = linkFault('Redis', 'black hole', () => ({ name: 'one', link }), late)
    await nemesis.begin()
    const answer = askThrough(port, 'INCR count').catch(() => 'cut')
    expect(await waits(answer)).toBe(true)
    await nemesis.end()
    expect(await answer).toBe(late === 'dropped' ? 'cut' : ':1\r\n')
    expect(await redis.ask('GET', 'count')).toBe(late === 'dropped' ? null : '1')
  }
})

it('stops and kills PostgreSQL, which comes back with what was committed', async () => {
  const postgres = await startPostgres()
  cleanups.push(() => postgres.remove())
  const ask = async (text: string) => {
    const client = new Client({ connectionString: postgres.adminUrl })
    await client.connect()
    try {
      return (await client.query(text)).rowCount
    } finally {
      await client.end()
    }
  }
  await ask('CREATE TABLE kept AS SELECT 1 AS one')
  for (const nemesis of [postgresStopped(postgres), postgresKilled(postgres)]) {
    await nemesis.begin()
    await expect(ask('SELECT 1')).rejects.toThrow('ECONNREFUSED')
    await nemesis.end()
    expect(await ask('SELECT * FROM kept')).toBe(1)
  }
})

/** A Node process that says its two clocks whenever it is asked. */
function startTeller(env: Readonly<Record<string, string>> = {}) {
  const script = 'process.stdin.on("data", () => console.log(Date.now(), +new Date(), performance.now()))'
  const child = spawn(process.execPath, ['-e', script], { env: { ...process.env, ...env } })
  cleanups.push(() => child.kill('SIGKILL'))
  const tell = () =>
    new Promise<number[]>((resolve) => {
      child.stdout.once('data', (line) => resolve(String(line).trim().split(' ').map(Number)))
      child.stdin.write('?')
    })
  return { pid: child.pid ?? 0, tell }
}

it('stops a process, whose monotonic clock goes on', async () => {
  const { pid, tell } = startTeller()
  const [, , before = 0] = await tell()
  const nemesis = processFrozen(() => ({ name: 'teller', pid }))
  await nemesis.begin()
  expect(nemesis.name).toBe('teller stopped (SIGSTOP)')
  const answer = tell()
  expect(await waits(answer)).toBe(true)
  await nemesis.end()
  expect((await answer)[2]).toBeGreaterThanOrEqual(before + 100)
})

it('makes the wall clock of one process jump both ways, and leaves its monotonic clock', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'spillway-clock-'))
  cleanups.push(() => rmSync(folder, { recursive: true, force: true }))
  const clock = newClock(folder)
  const { tell } = startTeller(clock.env)
  const off = async () => {
    const [now = 0, constructed = 0] = await tell()
    expect(Math.abs(now - constructed)).toBeLessThan(50)
    return Math.round((now - Date.now()) / 1000)
  }
  const [, , monotonic = 0] = await tell()
  for (const ms of [3_600_000, -3_600_000]) {
    const nemesis = clockJump(ms, () => ({ name: 'teller', clock }))
    await nemesis.begin()
    await eventually(async () => (await off()) === ms / 1000, { what: 'the jump' })
    await nemesis.end()
    await eventually(async () => (await off()) === 0, { what: 'the true time' })
  }
  const [, , later = 0] = await tell()
  expect(later - monotonic).toBeLessThan(60_000)
})

/** One inline command through a link. */
async function askThrough(port: number, command: string): Promise<string> {
  const socket = connect(port, '127.0.0.1')
  try {
    await once(socket, 'connect')
    socket.write(`${command}\r\n`)
    for await (const chunk of socket) return String(chunk)
    throw new Error('the connection was closed')
  } finally {
    socket.destroy()
  }
}
