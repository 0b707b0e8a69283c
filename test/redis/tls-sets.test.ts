import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { readConfig } from '../../src/config.js'
import { aclRules } from '../../src/redis/acl.js'
import { RedisClient } from '../../src/redis/client.js'
import { BUCKETS, key } from '../../src/redis/keys.js'
import { redisSettings } from '../../src/redis/settings.js'
import { Authority } from '../support/certificates.js'
import { eventually } from '../support/eventually.js'
import type { RedisServer, RedisSet } from '../support/redis.js'
import { startRedisCluster } from '../support/redis-cluster.js'
import { startRedisSentinel } from '../support/redis-sentinel.js'

/** One sentinel and no replica: what there is to connect to, and no more. */
const SETS: Readonly<
  Record<
    string,
    (authority: Authority) => Promise<RedisSet & { readonly sentinels?: readonly RedisServer[] }>
  >
> = {
  'the master that a Sentinel names': (authority) =>
    startRedisSentinel({ replicas: 0, watching: 1, authority }),
  'a Cluster': (authority) => startRedisCluster({ authority }),
}

describe.each(Object.entries(SETS))('over TLS, as a user of its own: %s', (kind, start) => {
  let authority: Authority
  let stranger: Authority
  let set: Awaited<ReturnType<typeof start>>
  const clients: RedisClient[] = []
  /** As `REDIS_URL` and `SPILLWAY_REDIS_TLS_CA` have it. */
  const open = (login: string, ca: string) => {
    const url = set.url.replace('://', `://${login}`)
    const settings = redisSettings(readConfig({ REDIS_URL: url, SPILLWAY_REDIS_TLS_CA: ca }), 'tls')
    if (!settings) throw new Error('no settings')
    const client = RedisClient.open(settings)
    clients.push(client)
    return client
  }
  beforeAll(async () => {
    authority = new Authority()
    stranger = new Authority()
    set = await start(authority)
    for (const server of set.servers) {
      await server.ask('ACL', 'SETUSER', 'spillway', 'on', '>p/w', ...aclRules())
      await server.ask('ACL', 'SETUSER', 'default', 'resetkeys')
    }
  })
  afterAll(async () => {
    for (const client of clients) client.close()
    await set?.remove()
    authority?.remove()
    stranger?.remove()
  })

  it('takes commands on every server, and is heard', async () => {
    const client = open('spillway:p%2Fw@', authority.ca)
    await client.ready(10_000)
    const names = BUCKETS.map((bucket) => key('term:probe', { bucket }))
    await Promise.all(names.map((name) => client.call('SET', name, name)))
    expect(await Promise.all(names.map((name) => client.call('GET', name)))).toEqual(names)
    const heard: string[] = []
    const subscriber = client.subscriber({
      heard: (channel) => heard.push(channel),
      hearing: () => undefined,
    })
    await eventually(() => subscriber.hearing)
    const channels = Array.from({ length: 12 }, (_, i) => key('flow:updates', { tenant: 'a', flow: `${i}` }))
    await Promise.all(channels.map((channel) => subscriber.subscribe(channel)))
    // Who has just begun to listen may not be heard yet on every server.
    await eventually(async () => {
      await Promise.all(channels.map((channel) => client.call(client.publishCommand, channel, 'here')))
      return new Set(heard).size === channels.length
    })
    // It also hears, over TLS, when the sentinel names another master.
    for (const sentinel of set.sentinels ?? []) {
      await eventually(async () =>
        /name=spillway:\S*:sentinel .*sub=1/.test(String(await sentinel.ask('CLIENT', 'LIST'))),
      )
    }
    const tls = await client.onEachMaster((master) => master.call('INFO', 'server'))
    expect(tls).toHaveLength(kind === 'a Cluster' ? 3 : 1)
  })

  it('is refused with another authority, or as nobody', async () => {
    const mistaken = open('spillway:p%2Fw@', stranger.ca)
    const refusal = () => mistaken.call('GET', key('term:probe', { bucket: 'b00' })).catch((error) => error)
    await eventually(async () => /its certificate is not trusted/.test((await refusal()).message))
    expect(await refusal()).toMatchObject({ code: 'STORE_UNAVAILABLE' })
    const nobody = open('', authority.ca)
    await nobody.ready(10_000)
    await expect(nobody.call('SET', key('term:probe', { bucket: 'b00' }), '1')).rejects.toMatchObject({
      code: 'INTERNAL',
      message: expect.stringContaining('NOPERM'),
    })
  })
})
