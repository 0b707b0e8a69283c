import { rmSync } from 'node:fs'
import { createServer, type Server } from 'node:net'
import { afterEach, describe, expect, it } from 'vitest'
import type { RedisClient } from '../../src/redis/client.js'
import { parseScript } from '../../src/redis/scripts.js'
import { eventually } from '../support/eventually.js'
import { type RedisConfig, type RedisServer, startRedis } from '../support/redis.js'
import { startRedisSentinel } from '../support/redis-sentinel.js'
import { failure, openClient } from './open.js'

const open: { server?: RedisServer | undefined; client?: RedisClient; fake?: Server } = {}
afterEach(async () => {
  open.client?.close()
  open.fake?.close()
  await open.server?.remove()
  open.server = undefined
})

async function start(config: RedisConfig = {}): Promise<{ server: RedisServer; client: RedisClient }> {
  const server = await startRedis(config)
  open.server = server
  const client = openClient(server.url)
  open.client = client
  await client.ready(5000)
  return { server, client }
}

const put = parseScript('put.lua', `-- KEYS: at\n-- ARGV: value\nreturn redis.call('SET', at, value)`)

describe('what the server says that it cannot do is down, and surely not done', () => {
  it('OOM, for writes only, in scripts too', async () => {
    const { server, client } = await start({ 'maxmemory-policy': 'noeviction' })
    await server.ask('SET', 'kept', '1')
    await server.ask('CONFIG', 'SET', 'maxmemory', '1')
    const down = { code: 'STORE_UNAVAILABLE', kind: 'down', outcome: 'none', reply: 'OOM' }
    expect(await failure(client.call('SET', 'a', 'x'))).toMatchObject(down)
    expect(await failure(client.run(put, ['a'], ['x']))).toMatchObject(down)
    expect(await client.call('GET', 'kept')).toBe('1')
    expect(await server.ask('EXISTS', 'a')).toBe(0)
  })

  it('MISCONF', async () => {
    const { server, client } = await start({ save: '3600 1', appendonly: 'no' })
    // The folder is away, so the snapshot fails, and from then on writes are refused.
    await server.ask('SET', 'a', '1')
    rmSync(server.folder, { recursive: true })
    await server.ask('BGSAVE')
    await eventually(async () =>
      /rdb_last_bgsave_status:err/.test(String(await server.ask('INFO', 'persistence'))),
    )
    expect(await failure(client.call('SET', 'b', 'x'))).toMatchObject({
      code: 'STORE_UNAVAILABLE',
      kind: 'down',
      outcome: 'none',
      reply: 'MISCONF',
    })
  })

  it('READONLY: leaves a master that became a replica', async () => {
    const { server, client } = await start()
    await server.ask('REPLICAOF', '127.0.0.1', '1')
    expect(await failure(client.call('SET', 'a', 'x'))).toMatchObject({
      kind: 'down',
      outcome: 'none',
      reply: 'READONLY',
    })
    await eventually(() => !client.usable)
    await eventually(async () => (await failure(client.call('GET', 'a'))).message.includes('slave'))
    await server.ask('REPLICAOF', 'NO', 'ONE')
    await client.ready(5000)
    expect(await client.call('SET', 'a', 'x')).toBe('OK')
  })

  it('LOADING: is not used before all is loaded', async () => {
    const { server, client } = await start({
      'key-load-delay': '400',
      'loading-process-events-interval-bytes': '1024',
    })
    await server.ask('EVAL', "for i = 1, 5000 do redis.call('SET', 'key:' .. i, 'x') end", '0')
    await server.stop()
    const starting = server.start()
    const said = () => server.ask('PING').catch((error: unknown) => String(error))
    await eventually(async () => String(await said()).includes('LOADING'))
    expect(client.usable).toBe(false)
    expect(await failure(client.call('GET', 'key:1'))).toMatchObject({ kind: 'down', outcome: 'none' })
    await starting
    await client.ready(15_000)
    expect(await client.call('DBSIZE')).toBe(5000)
  })
})

describe('what is refused because of who we are or what we say is ours', () => {
  it('NOPERM, and a user of its own', async () => {
    const { server } = await start()
    await server.ask('ACL', 'SETUSER', 'app', 'on', '>p:w/1', '+@all', '-flushall', '~app:*', '&*')
    const client = openClient(`redis://app:${encodeURIComponent('p:w/1')}@127.0.0.1:${server.port}`)
    try {
      await client.ready(5000)
      expect(await client.call('SET', 'app:1', 1)).toBe('OK')
      const ours = { code: 'INTERNAL', kind: 'ours', outcome: 'none', reply: 'NOPERM' }
      expect(await failure(client.call('SET', 'other', 1))).toMatchObject(ours)
      expect(await failure(client.call('FLUSHALL'))).toMatchObject(ours)
      expect(client.usable).toBe(true)
    } finally {
      client.close()
    }
  })

  it('NOAUTH and WRONGPASS, while the client goes on trying', async () => {
    const { server } = await start({ requirepass: 'secret' })
    for (const login of ['', ':wrong@']) {
      const client = openClient(`redis://${login}127.0.0.1:${server.port}`)
      try {
        await eventually(async () => (await failure(client.call('GET', 'a'))).code === 'INTERNAL')
        expect(await failure(client.call('GET', 'a'))).toMatchObject({ kind: 'ours', outcome: 'none' })
        await expect(client.ready(50)).rejects.toThrow(/NOAUTH|WRONGPASS/)
      } finally {
        client.close()
      }
    }
  })

  it('a command that does not exist, a script that does not compile', async () => {
    const { client } = await start()
    expect(await failure(client.call('NONSENSE'))).toMatchObject({
      code: 'INTERNAL',
      kind: 'ours',
      outcome: 'none',
    })
    const broken = parseScript('broken.lua', '-- KEYS: at\n-- ARGV:\nreturn at +')
    expect(await failure(client.run(broken, ['a'], []))).toMatchObject({ code: 'INTERNAL', kind: 'ours' })
  })
})

describe('what is lost on the way', () => {
  it('is unknown when the connection is cut in the middle of the reply', async () => {
    let sent = 0
    const fake = createServer((socket) => {
      socket.on('error', () => socket.destroy())
      socket.on('data', (chunk) => {
        const text = String(chunk)
        if (/info/i.test(text)) {
          const info = 'run_id:abc\r\nrole:master\r\nredis_version:7.0.0\r\n'
          socket.write(`$${info.length}\r\n${info}\r\n`)
        } else if (/incr/i.test(text)) {
          sent += 1
          socket.end('$100\r\nhalf')
        } else socket.write('+OK\r\n'.repeat(text.split('*').length - 1))
      })
    }).listen(0, '127.0.0.1')
    open.fake = fake
    await new Promise((resolve) => fake.once('listening', resolve))
    const address = fake.address()
    const port = typeof address === 'object' && address !== null ? address.port : 0
    open.client = openClient(`redis://127.0.0.1:${port}`)
    await open.client.ready(5000)
    expect(await failure(open.client.call('INCR', 'a'))).toMatchObject({ kind: 'down', outcome: 'unknown' })
    await open.client.ready(5000)
    // Repeated behind the caller's back it would count twice.
    expect(sent).toBe(1)
  })

  it('is nothing when nobody listens', async () => {
    open.client = openClient('redis://127.0.0.1:1')
    await eventually(async () =>
      (await failure(open.client?.call('GET', 'a') ?? Promise.resolve())).message.includes('ECONNREFUSED'),
    )
    expect(await failure(open.client.call('GET', 'a'))).toMatchObject({ kind: 'down', outcome: 'none' })
  })

  it('goes to the new master after a failover, which is another identity', async () => {
    const set = await startRedisSentinel()
    const seen = new Set<string>()
    const client = openClient(set.url, {
      onConnect: (identity) => {
        seen.add(identity)
        return 'use'
      },
    })
    try {
      await client.ready(5000)
      await client.call('SET', 'a', '1')
      await (await set.master()).kill()
      await eventually(async () => (await client.call('SET', 'b', '2').catch(() => '')) === 'OK', {
        withinMs: 15_000,
      })
      expect(seen.size).toBe(2)
      // The sentinel that is asked here may learn of it later than the one that told the client.
      await eventually(async () => (await (await set.master()).ask('GET', 'b')) === '2')
    } finally {
      client.close()
      await set.remove()
    }
  })

  it('leaves a master that lives when the sentinels name another, and does not wait until it is told by that', async () => {
    const set = await startRedisSentinel()
    const seen = new Set<string>()
    const client = openClient(set.url, {
      onConnect: (identity) => {
        seen.add(identity)
        return 'use'
      },
    })
    try {
      await client.ready(5000)
      const before = await set.master()
      await set.failover()
      await eventually(() => seen.size === 2, { withinMs: 8000, what: 'the new master is used' })
      // Ten seconds later it hears of it too, and throws away what it was given meanwhile.
      expect(String(await before.ask('INFO', 'replication'))).toContain('role:master')
    } finally {
      client.close()
      await set.remove()
    }
  })
})
