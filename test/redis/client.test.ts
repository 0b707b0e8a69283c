import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest'
import type { RedisClient } from '../../src/redis/client.js'
import { parseScript } from '../../src/redis/scripts.js'
import { eventually } from '../support/eventually.js'
import { type RedisServer, startRedis } from '../support/redis.js'
import { REDIS_KINDS } from '../support/redis-kinds.js'
import { failure, openClient } from './open.js'

const add = parseScript(
  'add.lua',
  `-- KEYS: total, log
-- ARGV: by, ...words
local sum = redis.call('INCRBY', total, by)
for _, word in ipairs(words) do redis.call('RPUSH', log, word) end
return {sum, #words}`,
)

describe.each(Object.entries(REDIS_KINDS))('%s', (kind, start) => {
  let redis: Awaited<ReturnType<typeof start>>
  let client: RedisClient
  const seen: string[] = []
  beforeAll(async () => {
    redis = await start()
    client = openClient(redis.url, {
      onConnect: (identity) => {
        seen.push(identity)
        return 'use'
      },
    })
    await client.ready(10_000)
  })
  afterAll(async () => {
    client.close()
    await redis.remove()
  })

  it('asks with the identity of who serves before anything is sent', async () => {
    const ids = await client.onEachMaster((master) => master.call('info', 'server'))
    const runIds = ids.map((info) => /run_id:(\w+)/.exec(String(info))?.[1]).sort()
    expect(runIds).toHaveLength(kind === 'cluster' ? 3 : 1)
    expect(seen.at(-1)).toBe(runIds.join(','))
    expect(client.identity).toBe(runIds.join(','))
  })

  it('warns of a server that drops keys when memory is short, as of its last connect', async () => {
    expect(client.warning).toBeNull()
    const set = (name: string, value: string) =>
      client.onEachMaster((master) => master.call('config', 'SET', name, value))
    const connected = async () => {
      const before = seen.length
      client.reconnect()
      await eventually(() => seen.length > before && client.usable)
      return client.warning
    }
    await set('maxmemory-policy', 'allkeys-lru')
    // Without a bound there is nothing to drop for.
    expect(await connected()).toBeNull()
    await set('maxmemory', '1gb')
    expect(await connected()).toContain('allkeys-lru')
    await set('maxmemory-policy', 'noeviction')
    expect(await connected()).toBeNull()
    await set('maxmemory', '0')
  })

  it('passes texts exactly, also NUL, line ends, emoji and a megabyte', async () => {
    const texts = ['', '\0', '\r\n', 'ü😀\u2028', 'x'.repeat(1_000_000), `${'é'.repeat(600_000)}\0`]
    await Promise.all(texts.map((text, i) => client.call('SET', `text:${i}`, text)))
    const read = await Promise.all(texts.map((_, i) => client.call('GET', `text:${i}`)))
    expect(read.every((text, i) => text === texts[i])).toBe(true)
    expect(await client.call('GET', 'text:none')).toBeNull()
  })

  it('keeps the order of a turn for one key', async () => {
    await Promise.all(Array.from({ length: 500 }, (_, i) => client.call('RPUSH', '{o}:order', i)))
    expect(await client.call('LRANGE', '{o}:order', 0, -1)).toEqual(
      Array.from({ length: 500 }, (_, i) => `${i}`),
    )
  })

  it('runs a script under its names, however many values it is given', async () => {
    const words = Array.from({ length: 20_000 }, (_, i) => `w${i}`)
    expect(await client.run(add, ['{s}:total', '{s}:log'], [5, ...words])).toEqual([5, 20_000])
    expect(await client.call('LINDEX', '{s}:log', -1)).toBe('w19999')
  })

  it('loads a script anew after SCRIPT FLUSH, and runs each call once', async () => {
    await client.onEachMaster((master) => master.call('script', 'FLUSH'))
    await Promise.all(Array.from({ length: 100 }, () => client.run(add, ['{f}:total', '{f}:log'], [1])))
    expect(await client.call('GET', '{f}:total')).toBe('100')
  })

  it('refuses keys of different slots and counts that do not fit, before anything is sent', async () => {
    expect(await failure(client.run(add, ['a', 'b'], [1]))).toMatchObject({
      code: 'INTERNAL',
      kind: 'ours',
      outcome: 'none',
    })
    expect(await failure(client.run(add, ['a'], [1]))).toMatchObject({ kind: 'ours' })
    expect(await failure(client.run(add, ['{a}1', '{a}2'], []))).toMatchObject({ kind: 'ours' })
    expect(await client.call('EXISTS', 'a')).toBe(0)
  })

  it('says that a wrong type is ours, and that a script may have written before it', async () => {
    await client.call('SET', '{w}:log', 'text')
    expect(await failure(client.call('RPUSH', '{w}:log', 'a'))).toMatchObject({
      code: 'INTERNAL',
      kind: 'ours',
      outcome: 'none',
      reply: 'WRONGTYPE',
    })
    expect(await failure(client.run(add, ['{w}:total', '{w}:log'], [1, 'x']))).toMatchObject({
      kind: 'ours',
      outcome: 'unknown',
    })
    expect(await client.call('GET', '{w}:total')).toBe('1')
  })

  it('takes no command that would block or change the shared connection', async () => {
    for (const words of [
      ['BLPOP', 'a', 0],
      ['MULTI'],
      ['SUBSCRIBE', 'a'],
      ['SELECT', 1],
      ['XREAD', 'BLOCK', 0],
    ]) {
      const [command = '', ...args] = words
      expect(await failure(client.call(String(command), ...args))).toMatchObject({
        kind: 'ours',
        outcome: 'none',
      })
    }
  })
})

describe('a server that breaks', () => {
  let server: RedisServer
  let clients: RedisClient[] = []
  const open = (...args: Parameters<typeof openClient>) => {
    const client = openClient(...args)
    clients.push(client)
    return client
  }
  beforeAll(async () => {
    server = await startRedis()
  })
  afterEach(async () => {
    for (const client of clients) client.close()
    clients = []
    server.thaw()
    await server.start()
  })
  afterAll(() => server.remove())

  it('costs one time-out when it hangs, then nothing, and is used again when it goes on', async () => {
    const client = open(server.url)
    await client.ready(5000)
    server.freeze()
    const began = performance.now()
    expect(await failure(client.call('INCR', 'hung'))).toMatchObject({
      code: 'STORE_UNAVAILABLE',
      kind: 'down',
      outcome: 'unknown',
    })
    expect(performance.now() - began).toBeLessThan(450)
    await eventually(() => !client.usable)
    const second = performance.now()
    expect(await failure(client.call('INCR', 'hung'))).toMatchObject({ kind: 'down', outcome: 'none' })
    expect(performance.now() - second).toBeLessThan(20)
    server.thaw()
    await client.ready(5000)
    expect(await client.call('SET', 'hung', 1)).toBe('OK')
  })

  it('fails what is in flight when it is killed, and comes back by itself with its scripts', async () => {
    const client = open(server.url)
    await client.ready(5000)
    await client.call('DEL', '{k}:total')
    await client.run(add, ['{k}:total', '{k}:log'], [1])
    const inFlight = failure(client.call('DEBUG', 'SLEEP', '0.15'))
    await server.kill()
    expect(await inFlight).toMatchObject({ kind: 'down', outcome: 'unknown' })
    await eventually(() => !client.usable)
    expect(await failure(client.call('GET', 'a'))).toMatchObject({ kind: 'down', outcome: 'none' })
    await server.start('empty')
    await client.ready(5000)
    expect(await client.run(add, ['{k}:total', '{k}:log'], [1])).toEqual([1, 0])
  })

  it('is not cut again, once it is back, by what waited for an answer of the connection before', async () => {
    const turns: boolean[] = []
    const client = open(server.url, { onUsable: (usable) => void turns.push(usable) })
    await client.ready(5000)
    server.freeze()
    const hung = failure(client.call('GET', 'a'))
    await server.kill()
    await server.start('same')
    await hung
    await client.ready(5000)
    // Longer than the time-out that such a connection has.
    await new Promise((resolve) => setTimeout(resolve, 450))
    // An attempt that fails says that it is not usable, too.
    expect([turns.filter((usable) => usable).length, turns.at(-1)]).toEqual([2, true])
  })

  it('is not used under another identity until that is wanted', async () => {
    const asked: string[] = []
    let wanted = ''
    const client = open(server.url, {
      onConnect: (identity) => {
        asked.push(identity)
        wanted ||= identity
        return identity === wanted ? 'use' : 'refuse'
      },
    })
    await client.ready(5000)
    await server.kill()
    await server.start('empty')
    await eventually(() => asked.some((identity) => identity !== wanted))
    expect(await failure(client.call('SET', 'stale', 1))).toMatchObject({
      code: 'STORE_UNAVAILABLE',
      outcome: 'none',
      message: expect.stringContaining('another server answers'),
    })
    expect(await server.ask('GET', 'stale')).toBeNull()
    wanted = asked.find((identity) => identity !== wanted) ?? ''
    await client.ready(5000)
    expect(await client.call('SET', 'stale', 1)).toBe('OK')
  })
})
