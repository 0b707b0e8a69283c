import { readdirSync, readFileSync, truncateSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { LimitCheck } from '../../src/limits/check.js'
import type { Take } from '../../src/limits/limits.js'
import { RedisLimits } from '../../src/limits/redis.js'
import { lockKey } from '../../src/locks/keys.js'
import type { MovedLease } from '../../src/locks/locks.js'
import { RedisLocks } from '../../src/locks/redis.js'
import type { RedisClient } from '../../src/redis/client.js'
import { BUCKETS, key } from '../../src/redis/keys.js'
import type { Reign } from '../../src/term/term.js'
import { openClient } from '../redis/open.js'
import { eventually } from '../support/eventually.js'
import { type RedisServer, startRedis } from '../support/redis.js'
import { one, reignOf } from './stores.js'

const MARKERS = BUCKETS.map((bucket) => key('term:marker', { bucket }))
const REFUSED = { code: 'STORE_UNAVAILABLE' }

describe('locks and limits on a Redis that was started again', () => {
  let server: RedisServer
  let redis: RedisClient
  let locks: RedisLocks
  let limits: RedisLimits
  let number = 0
  beforeAll(async () => {
    server = await startRedis()
    redis = openClient(server.url, {}, { commandTimeoutMs: 5000 })
    await redis.ready(5000)
    locks = new RedisLocks(redis)
    limits = new RedisLimits(redis)
  })
  beforeEach(() => opens())
  afterAll(async () => {
    redis.close()
    await server.remove()
  })

  /** Another reign begins on the server as it is. */
  const opens = async () => {
    number += 1
    for (const marker of MARKERS) await redis.call('set', marker, reignOf('redis', number).sign)
  }
  const reign = (): Reign => ({
    ...reignOf('redis', number, false, MARKERS[0]),
    identity: redis.identity ?? '',
  })
  const restart = async (how: 'same' | 'empty' = 'same', meanwhile: () => void = () => undefined) => {
    const { identity } = redis
    await server.kill()
    meanwhile()
    await server.start(how)
    await eventually(() => redis.usable && redis.identity !== identity, { what: 'the other server' })
  }
  const file = () => {
    const files = join(server.folder, 'appendonlydir')
    return join(files, readdirSync(files).find((name) => name.endsWith('.incr.aof')) ?? '')
  }

  const lock = (name: string) => ({ tenant: 'acme', name })
  const ask = (name: string, claim = 'a') => ({
    ...lock(name),
    ...{ claim, holder: 'Ann', ttlMs: 60_000, patienceMs: 0 },
  })
  const fenceOf = async (name: string, under: Reign, claim?: string) => {
    const taken = await one(locks.take([ask(name, claim)], under))
    if ('busy' in taken) throw new Error(`${name} is busy`)
    return taken.fence
  }
  const check = new LimitCheck('acme')
  const take = (id: string, algorithm: 'fixed' | 'concurrency', cost = 1): Take => ({
    id,
    limits: check.all([{ name: 'n', max: 10, perMs: 3_600_000, algorithm, cost }]),
    lease: false,
    strict: false,
  })
  const used = async () =>
    (await limits.list('acme', { name: 'n', limit: 10 })).limits.map((limit) => limit.used)

  it('take nothing that is for the one before, though its marker is the same', async () => {
    const before = reign()
    const fence = await fenceOf('held', before)
    await limits.take([take('x', 'fixed', 3), take('y', 'concurrency', 2)], before)
    await restart()
    expect(await Promise.all(MARKERS.map((marker) => redis.call('get', marker)))).toEqual(
      MARKERS.map(() => before.sign),
    )
    for (const own of [before, { ...before, marker: '' }]) {
      await expect(one(locks.take([ask('free')], own))).rejects.toMatchObject(REFUSED)
      await expect(one(locks.renew([{ ...lock('held'), fence, ttlMs: 100 }], own))).rejects.toMatchObject(
        REFUSED,
      )
      await expect(one(locks.giveBack([{ ...lock('held'), fence }], own))).rejects.toMatchObject(REFUSED)
      await expect(limits.take([take('z', 'fixed')], own)).rejects.toMatchObject(REFUSED)
      await expect(limits.take([], own)).rejects.toMatchObject(REFUSED)
      const lease = { id: 'y', tenant: 'acme', names: ['n'] }
      await expect(limits.release([lease], own)).rejects.toMatchObject(REFUSED)
      await expect(limits.reset('acme', 'n', own)).rejects.toMatchObject(REFUSED)
    }
    const after = reign()
    expect((await locks.look(lock('free'), after)) ?? null).toBeNull()
    expect((await locks.look(lock('held'), after))?.fence).toBe(fence)
    expect(await used()).toEqual([3, 2])
    // It is for the one that is there that it can be done.
    expect(await fenceOf('free', after)).toBeGreaterThan(0)
  })

  it('have all of a carry-over in one life of Redis, or none', async () => {
    const leases = Array.from({ length: 900 }, (_, i): MovedLease => {
      const facts = { claim: `c${i}`, holder: 'Ann', since: Date.now(), ttlMs: 60_000 }
      return { ...lock(`moved-${i}`), ...facts, fence: 1 + i, leftMs: 60_000 }
    })
    let scripts = 0
    const exchanged = new Proxy(redis, {
      get: (client, name) => {
        const value: unknown = Reflect.get(client, name, client)
        if (typeof value !== 'function') return value
        return async (...given: unknown[]) => {
          // Whoever has carried the first ones finds an empty server behind the same address.
          if (name === 'run' && ++scripts === 10) await restart('empty')
          return value.apply(client, given)
        }
      },
    })
    const carrying = new RedisLocks(exchanged).carry(leases, number + 1)
    await expect(carrying).rejects.toMatchObject(REFUSED)
    expect(scripts).toBeGreaterThanOrEqual(10)
    await locks.carry(leases, number + 1)
    await opens()
    const held = await Promise.all(leases.map((lease) => locks.look(lease, reign())))
    expect(held.map((one) => one?.fence)).toEqual(leases.map(({ fence }) => fence))
  })

  it('count a part of a take where half a script comes back, and have no key without an end once it is used', async () => {
    const log = (id: string, cost: number): Take => ({
      id,
      limits: check.all([{ name: 'log', max: 100, perMs: 3_600_000, algorithm: 'sliding-log', cost }]),
      lease: false,
      strict: false,
    })
    const { key: name } = check.one({ name: 'log', max: 100, perMs: 3_600_000, algorithm: 'sliding-log' })
    await limits.take([log('half', 20)], reign())
    const cut = () => readFileSync(file()).indexOf('half:12')
    await eventually(() => cut() > 0, { what: 'the file has it' })
    await restart('same', () => truncateSync(file(), cut() + 3))
    expect(await redis.call('exists', name)).toBe(0)
    await opens()
    await limits.take([take('since', 'concurrency')], reign())
    await restart()
    await opens()
    expect([await redis.call('zcard', name), await redis.call('pttl', name)]).toEqual([11, -1])
    const [outcome] = await limits.take([log('next', 1)], reign())
    expect(outcome?.told[0]?.a).toBe(12)
    expect(Number(await redis.call('pttl', name))).toBeGreaterThan(0)
  })

  it('have greater fences, and no holder of before, where half a script comes back', async () => {
    const acknowledged = await fenceOf('first', reign())
    const many = Array.from({ length: 20 }, (_, i) => ask(`cut-${i}`, `claim-${i}`))
    const granted = await locks.take(many, reign())
    const lost = granted.map((taken) => ('fence' in taken ? taken.fence : 0))
    // Within the script: of ten locks the file still has all, of the others nothing.
    const cut = () => readFileSync(file()).indexOf('claim-10')
    await eventually(() => cut() > 0, { what: 'the file has it' })
    await restart('same', () => truncateSync(file(), cut() + 3))
    for (const { name } of many) expect(await locks.look(lock(name), reign())).toBeUndefined()
    await opens()
    const second = await fenceOf('cut-3', reign(), 'b')
    expect(second).toBeGreaterThan(Math.max(acknowledged, ...lost))
    // What the file has of that script is carried out now, in front of what came since.
    await restart()
    expect(await redis.call('get', lockKey(lock('cut-4')))).toMatch(/claim-4/)
    expect((await locks.look(lock('cut-3'), reign()))?.fence).toBe(second)
    expect(await locks.look(lock('cut-4'), reign())).toBeUndefined()
    await opens()
    for (const { name } of many) expect(await fenceOf(name, reign(), 'c')).toBeGreaterThan(second)
  })
})
