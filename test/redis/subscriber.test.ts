import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import type { RedisClient } from '../../src/redis/client.js'
import { connectionTo } from '../../src/redis/connection.js'
import { Ear } from '../../src/redis/ear.js'
import type { Subscriber } from '../../src/redis/subscriber.js'
import { eventually } from '../support/eventually.js'
import { type RedisServer, startRedis } from '../support/redis.js'
import { REDIS_KINDS } from '../support/redis-kinds.js'
import { openClient } from './open.js'

function listen(client: RedisClient) {
  const heard: string[] = []
  const hearing: boolean[] = []
  const subscriber: Subscriber = client.subscriber({
    heard: (channel, message) => heard.push(`${channel} ${message}`),
    hearing: (works) => hearing.push(works),
  })
  return { subscriber, heard, hearing }
}

describe.each(Object.entries(REDIS_KINDS))('%s', (kind, start) => {
  let redis: Awaited<ReturnType<typeof start>>
  let client: RedisClient
  beforeAll(async () => {
    redis = await start()
    client = openClient(redis.url)
    await client.ready(10_000)
  })
  afterAll(async () => {
    client.close()
    await redis.remove()
  })
  const publish = (channel: string, message: string) => client.call(client.publishCommand, channel, message)

  it('hears what is published after subscribe resolved, exactly, on 1,000 channels', async () => {
    const { subscriber, heard } = listen(client)
    await eventually(() => subscriber.hearing)
    const channels = Array.from({ length: 1000 }, (_, i) => `channel:{${i}}`)
    const entered = await Promise.all(channels.map((channel) => subscriber.subscribe(channel)))
    // On a Cluster the connections to the other masters are made by the first channels they are needed for.
    if (kind === 'cluster') await eventually(() => subscriber.hearing)
    else expect(entered.every(Boolean)).toBe(true)
    await Promise.all(channels.map((channel) => publish(channel, 'ü\0\r\n')))
    await eventually(() => heard.length === 1000)
    expect(new Set(heard)).toEqual(new Set(channels.map((channel) => `${channel} ü\0\r\n`)))
    for (const channel of channels.slice(1)) subscriber.unsubscribe(channel)
    await eventually(async () => Number(await publish('channel:{7}', 'late')) === 0)
    expect(await publish('channel:{0}', 'more')).toBe(1)
    subscriber.close()
    expect(client.publishCommand).toBe(kind === 'cluster' ? 'SPUBLISH' : 'PUBLISH')
  })

  it('hears again after its connections were killed, and says that it was deaf', async () => {
    const { subscriber, heard, hearing } = listen(client)
    await subscriber.subscribe('again')
    await eventually(() => subscriber.hearing)
    await Promise.all(redis.servers.map((server) => server.ask('CLIENT', 'KILL', 'TYPE', 'pubsub')))
    await eventually(() => hearing.length >= 3)
    expect(hearing.slice(0, 3)).toEqual([true, false, true])
    await publish('again', 'here')
    await eventually(() => heard.includes('again here'))
    subscriber.close()
  })
})

describe('one server', () => {
  let server: RedisServer
  beforeAll(async () => {
    server = await startRedis()
  })
  afterAll(() => server.remove())

  it('notices a subscription that died while its connection lives', async () => {
    const client = openClient(server.url)
    await client.ready(5000)
    const hearing: boolean[] = []
    let lost = false
    // Publishes are answered, pings would be, and nothing is heard.
    const publish = (channel: string, message: string) =>
      client.call('PUBLISH', lost ? 'elsewhere' : channel, message)
    const ear = new Ear(
      connectionTo(client.settings, 'subscriber', () => true),
      {
        sharded: false,
        probeMs: 30,
        patienceMs: 200,
        probe: 'probe',
        publish,
        heard: () => undefined,
        hearing: (works) => hearing.push(works),
      },
    )
    const connection = async () =>
      /id=(\d+) [^\n]*:subscriber/.exec(String(await server.ask('CLIENT', 'LIST')))?.[1]
    await eventually(() => ear.works)
    const before = await connection()
    lost = true
    await eventually(() => hearing.includes(false))
    lost = false
    await eventually(() => ear.works)
    expect(await connection()).not.toBe(before)
    ear.close()
    client.close()
  })

  it('leaves nothing behind: the process exits by itself after close', async () => {
    const dist = (file: string) =>
      JSON.stringify(new URL(`../../dist/src/redis/${file}`, import.meta.url).href)
    const script = `
      import { RedisClient } from ${dist('client.js')}
      import { parseAddress } from ${dist('address.js')}
      const client = RedisClient.open({ address: parseAddress('${server.url}'), commandTimeoutMs: 400,
        connectTimeoutMs: 1000, reconnectMs: 500, probeMs: 1000, name: 'spillway:exit' })
      await client.ready(5000)
      const subscriber = client.subscriber({ heard() {}, hearing() {} })
      await subscriber.subscribe('a')
      client.close()`
    const child = spawn(process.execPath, ['--input-type=module', '-e', script], { stdio: 'inherit' })
    const [code] = await once(child, 'exit')
    expect(code).toBe(0)
    await eventually(async () => !/spillway:exit/.test(String(await server.ask('CLIENT', 'LIST'))))
  })
})
