import { setImmediate as nextTurn } from 'node:timers/promises'
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest'
import { Limiter } from '../../src/limits/limiter.js'
import type { LimitSpec } from '../../src/limits/limits.js'
import { RateLimits } from '../../src/limits/rate-limits.js'
import type { RedisClient } from '../../src/redis/client.js'
import { BUCKETS, key } from '../../src/redis/keys.js'
import { reignOf } from '../locks/stores.js'
import { openClient } from '../redis/open.js'
import { eventually } from '../support/eventually.js'
import { type RedisServer, startRedis } from '../support/redis.js'

const TIMEOUT_MS = 100
const BUSY_MS = 250

describe('limits of a process that is busy for longer than its time-out', () => {
  let server: RedisServer
  let redis: RedisClient
  let limiter: Limiter
  let limits: RateLimits
  beforeAll(async () => {
    server = await startRedis()
    redis = openClient(server.url, {}, { commandTimeoutMs: 5000 })
    await redis.ready(5000)
    const reign = reignOf('redis', 1)
    for (const bucket of BUCKETS) await redis.call('set', key('term:marker', { bucket }), reign.sign)
    const term = {
      reign,
      last: reign,
      operate: <T>(run: (now: typeof reign) => Promise<T>) => run(reign),
      onChange: () => () => undefined,
      join: () => undefined,
    }
    limiter = new Limiter({ database: undefined, redis, term, timeoutMs: TIMEOUT_MS, instances: () => 1 })
    limits = new RateLimits('acme', limiter)
  })
  afterEach(() => server.thaw())
  afterAll(async () => {
    await limiter.close()
    redis.close()
    await server.remove()
  })

  /** Nothing of this process runs meanwhile, while others have the processor. */
  const block = (ms = BUSY_MS) => Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, ms)
  const spec: LimitSpec = { name: 'busy', max: 1000, perMs: 600_000, whenAway: 'closed' }
  const deciding = () =>
    eventually(async () => (await limits.take([spec])).decidedBy === 'redis', { what: 'Redis decides' })

  it.each([TIMEOUT_MS + 20, BUSY_MS])(
    'are decided by the store, whose answer has lain in the socket since: busy for %i ms',
    async (ms) => {
      await deciding()
      const asked = limits.take([spec])
      // It is sent in the first turn, and written in the next.
      await nextTurn()
      await nextTurn()
      block(ms)
      expect((await asked).decidedBy).toBe('redis')
      expect((await limits.take([spec])).decidedBy).toBe('redis')
    },
  )

  it('are decided by the store where they could not even be sent before', async () => {
    await deciding()
    const asked = [limits.take([spec]), limits.take([spec])]
    block()
    expect((await Promise.all(asked)).map(({ decidedBy }) => decidedBy)).toEqual(['redis', 'redis'])
    expect((await limits.take([spec])).decidedBy).toBe('redis')
  })

  it('are decided by their policies at once where too many wait', async () => {
    await deciding()
    server.freeze()
    let decided = 0
    const all = Array.from({ length: 10_050 }, async () => {
      const verdict = await limits.take([{ ...spec, name: 'flood', max: 100_000 }])
      decided += 1
      return verdict
    })
    await nextTurn()
    expect(decided).toBe(50)
    server.thaw()
    expect((await Promise.all(all.slice(10_000))).every(({ decidedBy }) => decidedBy === 'policy')).toBe(true)
    await Promise.all(all)
  })

  it('are decided by their policies all the same, and soon, where the store hangs', async () => {
    await deciding()
    server.freeze()
    const began = performance.now()
    const asked = limits.take([spec])
    block()
    expect((await asked).decidedBy).toBe('policy')
    // Long before anything else would have ended it.
    expect(performance.now() - began).toBeLessThan(2000)
    const again = performance.now()
    expect((await limits.take([spec])).decidedBy).toBe('policy')
    expect(performance.now() - again).toBeLessThan(TIMEOUT_MS)
  })
})
