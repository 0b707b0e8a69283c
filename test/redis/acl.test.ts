import { readdirSync, readFileSync } from 'node:fs'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { Spillway } from '../../src/index.js'
import { aclRules, COMMANDS } from '../../src/redis/acl.js'
import { keepingOf } from '../../src/spillway.js'
import { type Half, openHalf } from '../events/pair.js'
import { gapOf, reading, seqs, upTo } from '../events/readers.js'
import { Authority } from '../support/certificates.js'
import { freshDatabase } from '../support/database.js'
import { eventually } from '../support/eventually.js'
import type { FreshDatabase } from '../support/postgres.js'
import { freePort } from '../support/processes.js'
import { type RedisSet, startRedis } from '../support/redis.js'
import { startRedisCluster } from '../support/redis-cluster.js'
import { reigns } from '../term/fleet.js'
import { openClient } from './open.js'

const LOGIN = 'spillway:p%2Fw@'

/** One server, reached over TLS alone. */
async function startSecure(authority: Authority): Promise<RedisSet> {
  const port = await freePort()
  const server = await startRedis(authority.redisLines(port))
  return { url: `rediss://127.0.0.1:${port}`, servers: [server], remove: () => server.remove() }
}

describe.each(['one server over TLS', 'a Cluster'])('the user of the documented rights on %s', (kind) => {
  let authority: Authority
  let redis: RedisSet
  let database: FreshDatabase
  let halves: Half[]
  let url: string
  let ca: string
  beforeAll(async () => {
    authority = new Authority()
    ca = readFileSync(authority.ca, 'utf8')
    redis = kind === 'a Cluster' ? await startRedisCluster() : await startSecure(authority)
    for (const server of redis.servers) {
      await server.ask('ACL', 'SETUSER', 'spillway', 'on', '>p/w', ...aclRules())
      await server.ask('ACL', 'SETUSER', 'default', 'resetkeys', 'resetchannels')
    }
    url = redis.url.replace('://', `://${LOGIN}`)
    database = await freshDatabase()
    halves = []
    for (const name of ['one', 'two'])
      halves.push(await openHalf(name, { postgres: database.url, redis: url }, { ca }))
  })
  afterAll(async () => {
    await Promise.all(halves?.map((half) => half.close()) ?? [])
    await database?.drop()
    await redis?.remove()
    authority?.remove()
  })

  it('can do everything that Spillway does', async () => {
    const [one, two] = halves as [Half, Half]
    const fleet = halves.map(({ instance }) => instance)
    const number = await reigns(fleet, 'redis')
    const durable = reading((signal) => two.flow('durable').subscribe({ after: '0', signal }))
    const fast = reading((signal) => two.flow('fast').subscribe({ after: '0', signal }))
    const publish = async (flow: string, durability: 'durable' | 'fast', from: number, to: number) => {
      for (let n = from; n <= to; n++)
        await one.flow(flow, durability).publish('tick', { n }, { key: `k${n}` })
    }
    await publish('durable', 'durable', 1, 3)
    await publish('fast', 'fast', 1, 3)
    await durable.until(3)
    await fast.until(3)
    one.instance.controller.ask('postgres', 'operator')
    const away = await reigns(fleet, 'postgres', number)
    await publish('durable', 'durable', 4, 5)
    await publish('fast', 'fast', 4, 5)
    one.instance.controller.ask('redis', 'operator')
    await reigns(fleet, 'redis', away)
    await publish('fast', 'fast', 6, 6)
    expect(seqs(await durable.until(5))).toEqual(upTo(5))
    await fast.until(7)
    expect(gapOf(fast.events[3]).reason).toBe('turn')
    expect(fast.events.filter(({ type }) => type !== 'gap').map(({ payload }) => payload)).toEqual(
      upTo(6).map((n) => ({ n })),
    )
    // What comes back reads from the tail.
    const back = reading((signal) => one.flow('durable').subscribe({ after: '1-2', signal }))
    expect(seqs(await back.until(3))).toEqual(upTo(5, 3))
    await Promise.all([durable, fast, back].map((reader) => reader.stop()))
    for (const server of redis.servers) expect(await server.ask('ACL', 'LOG')).toEqual([])
  })

  it('can do nothing else', async () => {
    const client = openClient(url, {}, { ca })
    try {
      await client.ready(5000)
      for (const words of [
        ['GET', 'session:other'],
        ['SET', 'flow:events:acme', '1'],
        ['PUBLISH', 'elsewhere', 'x'],
        ['FLUSHALL'],
        ['CONFIG', 'GET', 'requirepass'],
        ['KEYS', '*'],
        ['CLUSTER', 'RESET'],
      ]) {
        const [command = '', ...args] = words
        await expect(client.call(command, ...args), words.join(' ')).rejects.toMatchObject({
          code: 'INTERNAL',
          message: expect.stringContaining('NOPERM'),
        })
      }
    } finally {
      client.close()
    }
  })
})

it('is enough where Redis is the only store', async () => {
  const server = await startRedis()
  await server.ask('ACL', 'SETUSER', 'spillway', 'on', '>p/w', ...aclRules())
  const spillway = await Spillway.open({ redis: server.url.replace('://', `://${LOGIN}`) })
  try {
    const tenant = spillway.tenant('acme')
    const flow = tenant.flow('f')
    const seen = reading((signal) => flow.subscribe({ after: '0', signal }))
    await flow.publish('tick', 1, { key: 'k' })
    await seen.until(1)
    await seen.stop()
    await flow.setState({ status: 'running', engagement: 'one' })
    await flow.setState({ status: 'running', engagement: 'two' })
    await eventually(async () => (await tenant.flows({ engagement: 'two' }))[0]?.last_event_id)
    await flow.clearState()
    const ended = new AbortController()
    const processing = flow.process('g', () => Promise.reject(new Error('no')), {
      from: 'beginning',
      maxAttempts: 2,
      retryMs: 1,
      signal: ended.signal,
    })
    await eventually(async () => (await flow.dead('g')).length === 1)
    ended.abort()
    await processing
    const { bases, secrets } = keepingOf(spillway)
    const { id } = await bases.store('acme', [{ term: 1, seq: 1 }])
    expect(await bases.load('acme', id)).toEqual([{ term: 1, seq: 1 }])
    await secrets.shared('tickets')
    expect(await server.ask('ACL', 'LOG')).toEqual([])
  } finally {
    await spillway.close()
    await server.remove()
  }
})

it('names every command that the source sends', () => {
  const files = readdirSync(new URL('../../src', import.meta.url), { recursive: true, encoding: 'utf8' })
  const sent = files.flatMap((file) => {
    if (!/\.(lua|ts)$/.test(file)) return []
    const text = readFileSync(new URL(`../../src/${file}`, import.meta.url), 'utf8')
    return [...text.matchAll(/\bp?call\('([A-Za-z]+)'/g)].map(([, command = '']) => command.toLowerCase())
  })
  const known = COMMANDS.map((command) => command.split('|')[0])
  expect(sent.length).toBeGreaterThan(30)
  expect([...new Set(sent)].filter((command) => !known.includes(command))).toEqual([])
})
