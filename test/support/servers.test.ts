import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync } from 'node:fs'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { Client } from 'pg'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { freshDatabase } from './database.js'
import { eventually } from './eventually.js'
import { startNginx } from './nginx.js'
import { startPgBouncer } from './pgbouncer.js'
import { type FreshDatabase, type PostgresServer, startPostgres } from './postgres.js'
import { type RedisServer, startRedis } from './redis.js'
import { startRedisCluster } from './redis-cluster.js'
import { startRedisSentinel } from './redis-sentinel.js'
import { openStream } from './sse.js'

let database: FreshDatabase
beforeAll(async () => {
  database = await freshDatabase()
})
afterAll(() => database.drop())

async function ask<Row extends object>(url: string, text: string): Promise<Row[]> {
  const client = new Client({ connectionString: url })
  await client.connect()
  try {
    return (await client.query<Row>(text)).rows
  } finally {
    await client.end()
  }
}

it('gives a database whose login is subject to row-level security', async () => {
  const [role] = await ask<{ rolsuper: boolean; rolbypassrls: boolean }>(
    database.url,
    'SELECT rolsuper, rolbypassrls FROM pg_roles WHERE rolname = current_user',
  )
  expect(role).toEqual({ rolsuper: false, rolbypassrls: false })
})

it('keeps what was committed over an immediate restart', async () => {
  const server: PostgresServer = await startPostgres()
  try {
    const own = await server.database()
    await ask(own.url, 'CREATE TABLE kept AS SELECT 1 AS one')
    await server.restart('immediate')
    expect(await ask(own.url, 'SELECT one FROM kept')).toEqual([{ one: 1 }])
    await server.kill()
    await expect(ask(own.url, 'SELECT 1')).rejects.toThrow('ECONNREFUSED')
    await server.start()
    expect(await ask(own.url, 'SELECT one FROM kept')).toEqual([{ one: 1 }])
  } finally {
    await server.remove()
  }
})

it('pools in transaction mode', async () => {
  const pooler = await startPgBouncer(database.url)
  try {
    const [row] = await ask<{ name: string }>(pooler.url, 'SELECT current_user AS name')
    expect(row?.name).toBe('spillway_login')
  } finally {
    await pooler.remove()
  }
})

it('reads a stream through nginx, stops and goes on', async () => {
  const server = createServer((_, answer) => {
    answer.writeHead(200, { 'content-type': 'text/event-stream', 'x-accel-buffering': 'no' })
    answer.write('retry: 2000\n\nid: 1-7\n\n')
    answer.write('id: 1-8\nevent: a\ndata: x\ndata: y\n\n: beat\n\n')
  }).listen(0, '127.0.0.1')
  const { port } = await new Promise<AddressInfo>((resolve) =>
    server.once('listening', () => resolve(server.address() as AddressInfo)),
  )
  const nginx = await startNginx([`127.0.0.1:${port}`])
  try {
    const reader = await openStream(nginx.url)
    await reader.until(({ comments }) => comments.length === 1)
    expect(reader.frames).toEqual([{ id: '1-8', event: 'a', data: 'x\ny' }])
    expect([reader.lastEventId, reader.retryMs, reader.status]).toEqual(['1-8', 2000, 200])
    reader.close()
    await reader.closed
  } finally {
    await nginx.remove()
    server.close()
  }
})

it('ends a server whose test process was killed', async () => {
  const support = new URL('../../dist/test/support/processes.js', import.meta.url)
  const script = `
    import { serverFolder, startProcess, tieToThisProcess } from '${support}'
    const folder = serverFolder('orphan')
    tieToThisProcess(folder)
    const args = ['-e', 'console.log("up"); setInterval(() => {}, 1000)']
    const { child } = await startProcess({ command: process.execPath, args, folder, ready: (said) => said !== '' })
    console.log(JSON.stringify([child.pid, folder]))
    setInterval(() => {}, 1000)`
  const parent = spawn(process.execPath, ['--input-type=module', '-e', script])
  const [line] = await once(parent.stdout, 'data')
  const [pid, folder]: [number, string] = JSON.parse(String(line))
  expect(alive(pid)).toBe(true)
  parent.kill('SIGKILL')
  await eventually(() => !alive(pid) && !existsSync(folder), { what: 'the end of the orphan' })
})

function alive(pid: number): boolean {
  try {
    return process.kill(pid, 0)
  } catch {
    return false
  }
}

it('keeps or loses what Redis holds, as the start is asked to', async () => {
  const server = await startRedis({ requirepass: 'secret:1', appendfsync: 'always' })
  try {
    expect(await server.ask('SET', 'a', 'ü\0\r\n')).toBe('OK')
    await server.kill()
    await expect(server.ask('PING')).rejects.toThrow('ECONNREFUSED')
    await server.start()
    expect(await server.ask('MGET', 'a', 'b')).toEqual(['ü\0\r\n', null])
    server.freeze()
    await server.kill()
    await server.start('empty')
    expect(await server.ask('DBSIZE')).toBe(0)
    await expect(server.ask('NONSENSE')).rejects.toThrow('unknown command')
  } finally {
    await server.remove()
  }
})

it('runs a Redis Cluster of three masters', async () => {
  const cluster = await startRedisCluster()
  try {
    const replies = await Promise.allSettled(cluster.servers.map((server) => server.ask('SET', 'a', '1')))
    expect(replies.filter(({ status }) => status === 'fulfilled')).toHaveLength(1)
    const before = await cluster.ownerOf('a')
    const after = cluster.servers.find((server) => server !== before) as RedisServer
    await cluster.move('a', after)
    expect(await after.ask('GET', 'a')).toBe('1')
    await expect(before.ask('GET', 'a')).rejects.toThrow('MOVED')
  } finally {
    await cluster.remove()
  }
})

it('fails over from one Redis to its replica', async () => {
  const set = await startRedisSentinel()
  try {
    const before = await set.master()
    await before.kill()
    const after = await eventually(
      async () => {
        const master = await set.master()
        return master !== before && (await master.ask('SET', 'a', '1')) === 'OK' && master
      },
      { withinMs: 20_000, what: 'the failover' },
    )
    expect(after).not.toBe(before)
  } finally {
    await set.remove()
  }
})

it('says what it waited for', async () => {
  await expect(eventually(() => false, { withinMs: 20, what: 'the moon' })).rejects.toThrow(
    'the moon did not hold',
  )
})
