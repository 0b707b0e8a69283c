import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { readConfig } from '../../src/config.js'
import { RedisClient } from '../../src/redis/client.js'
import { redisSettings } from '../../src/redis/settings.js'
import { Authority } from '../support/certificates.js'
import { eventually } from '../support/eventually.js'
import { freePort } from '../support/processes.js'
import { type RedisServer, startRedis } from '../support/redis.js'

describe('Redis over TLS', () => {
  let authority: Authority
  let stranger: Authority
  let server: RedisServer
  let elsewhere: RedisServer
  let clients: RedisClient[] = []
  const ports = new Map<RedisServer, number>()
  /** As `REDIS_URL` and `SPILLWAY_REDIS_TLS_CA` have it. */
  const open = (to: RedisServer, ca: string) => {
    const url = `rediss://127.0.0.1:${ports.get(to)}`
    const config = readConfig({ REDIS_URL: url, ...(ca !== '' && { SPILLWAY_REDIS_TLS_CA: ca }) })
    const settings = redisSettings(config, 'tls')
    if (!settings) throw new Error('no settings')
    const client = RedisClient.open(settings)
    clients.push(client)
    return client
  }
  const start = async (name: string) => {
    const { cert, key } = authority.sign(name)
    const port = await freePort()
    const started = await startRedis({
      'tls-port': String(port),
      'tls-cert-file': cert,
      'tls-key-file': key,
      'tls-ca-cert-file': authority.ca,
      'tls-auth-clients': 'no',
    })
    ports.set(started, port)
    return started
  }
  beforeAll(async () => {
    authority = new Authority()
    stranger = new Authority()
    server = await start('IP:127.0.0.1')
    elsewhere = await start('DNS:elsewhere.example')
  })
  afterAll(async () => {
    for (const client of clients) client.close()
    clients = []
    await server?.remove()
    await elsewhere?.remove()
    authority?.remove()
    stranger?.remove()
  })

  it('takes commands and is heard, where its authority is known', async () => {
    const client = open(server, authority.ca)
    await client.ready(5000)
    expect(await client.call('SET', 'a', 'over TLS')).toBe('OK')
    expect(await server.ask('GET', 'a')).toBe('over TLS')
    const heard: string[] = []
    const subscriber = client.subscriber({
      heard: (_, message) => heard.push(message),
      hearing: () => undefined,
    })
    await eventually(() => subscriber.hearing)
    await subscriber.subscribe('channel')
    await client.call('PUBLISH', 'channel', 'here')
    await eventually(() => heard.includes('here'))
  })

  it.each([
    ['another authority', () => open(server, stranger.ca)],
    ['no authority of its own', () => open(server, '')],
    ['a certificate of another server', () => open(elsewhere, authority.ca)],
  ])('is refused, and named as the reason, with %s', async (_, client) => {
    await expect(client().ready(500)).rejects.toMatchObject({
      code: 'STORE_UNAVAILABLE',
      message: expect.stringContaining('its certificate is not trusted'),
    })
    await expect(client().call('SET', 'b', '1')).rejects.toMatchObject({ code: 'STORE_UNAVAILABLE' })
    expect(await server.ask('EXISTS', 'b')).toBe(0)
  })
})
