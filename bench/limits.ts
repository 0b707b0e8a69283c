import { Redis } from 'ioredis'
import pg from 'pg'
import { RateLimiterPostgres, RateLimiterRedis } from 'rate-limiter-flexible'
import { type LimitSpec, Spillway } from 'spillway'
import { type Claim, type Contestant, claim, compare, type Options, print, show } from './report.js'
import { type BothStores, reigns, startBoth } from './stores.js'

const CALLERS = 256
const USERS = 1000
const TENANTS = 50
/** So that nothing is denied: what is measured is counting. */
const MOST = 1_000_000_000
const POOL = 10

/**
 * 256 callers each take from one limit of 1,000 after the other. The peers have the same limits, one process and one
 * connection of the same driver (with auto-pipelining), or the same pool of PostgreSQL connections.
 */
export const limits: Claim = {
  name: 'limits',
  says: 'take: ≥ 1.3 × rate-limiter-flexible on Redis, ≥ 5 × on PostgreSQL; three limits: ≤ 1.5 × one; denied here: ≥ 20 ×',
  run: async (options) => {
    const stores = await startBoth()
    try {
      await onRedis(stores, options)
      await onPostgres(stores, options)
    } finally {
      await stores.remove()
    }
  },
}

async function onRedis(stores: BothStores, options: Options): Promise<void> {
  const spillway = await Spillway.open({ postgres: (await stores.database()).url, redis: stores.redis.url })
  const redis = new Redis(stores.redis.url, { enableAutoPipelining: true })
  const peer = new RateLimiterRedis({ storeClient: redis, points: MOST, duration: 60, keyPrefix: 'peer' })
  try {
    await reigns(spillway, 'redis')
    const scopes = Array.from({ length: TENANTS }, (_, i) => spillway.tenant(`tenant-${i}`).limits)
    const { limits: own } = spillway.tenant('bench')
    const user = (i: number, over: Partial<LimitSpec> = {}): LimitSpec => ({
      name: `user:u${i % USERS}`,
      max: MOST,
      perMs: 3000,
      ...over,
    })
    const three = (i: number) => [
      user(i),
      { name: `global:e${i % 10}`, max: MOST, perMs: 3000 },
      { name: 'tenant', max: MOST, perMs: 3000 },
    ]
    const flooding = [{ name: 'flood', max: 1, perMs: 3_600_000 }]
    await own.take(flooding)
    const [one = 0, spread = 0, others = 1, all = 0, denied = 0] = await compare(
      [
        contestant('Spillway, one tenant', options, (i) => own.take([user(i)])),
        contestant(`Spillway, ${TENANTS} tenants`, options, (i) => scopes[i % TENANTS]?.take([user(i)])),
        contestant('rate-limiter-flexible', options, (i) => peer.consume(`u${i % USERS}`)),
        contestant('Spillway, three limits a take', options, (i) => own.take(three(i))),
        contestant('Spillway, a flooding key', options, () => own.take(flooding)),
      ],
      { rounds: options.quick ? 2 : 5, unit: 'takes/s' },
    )
    claim('Redis: Spillway / rate-limiter-flexible', one / others, { atLeast: 1.3 })
    claim(`Redis: Spillway, ${TENANTS} tenants / rate-limiter-flexible`, spread / others, { atLeast: 1.3 })
    claim('three limits in one take: its cost / that of one', one / all, { atMost: 1.5 })
    claim('denied from memory / asked of Redis', denied / one, { atLeast: 20 })
  } finally {
    redis.disconnect()
    await spillway.close()
  }
}

async function onPostgres(stores: BothStores, options: Options): Promise<void> {
  const [own, foreign] = [await stores.database(), await stores.database()]
  const spillway = await Spillway.open({ postgres: own.url, config: { poolSize: POOL } })
  const pool = new pg.Pool({ connectionString: foreign.url, max: POOL })
  const peer = await new Promise<RateLimiterPostgres>((resolve, reject) => {
    const made: RateLimiterPostgres = new RateLimiterPostgres(
      { storeClient: pool, points: MOST, duration: 60, tableName: 'peer', keyPrefix: 'peer' },
      (error) => (error ? reject(error) : resolve(made)),
    )
  })
  try {
    const { limits: scope } = spillway.tenant('bench')
    const take = (i: number) => scope.take([{ name: `user:u${i % USERS}`, max: MOST, perMs: 3000 }])
    const [ours = 0, others = 1] = await compare(
      [
        contestant('Spillway', options, take),
        contestant('rate-limiter-flexible', options, (i) => peer.consume(`u${i % USERS}`)),
      ],
      { rounds: options.quick ? 2 : 5, unit: 'takes/s' },
    )
    claim('PostgreSQL: Spillway / rate-limiter-flexible', ours / others, { atLeast: 5 })
    const [{ on } = { on: '' }] = (await pool.query<{ on: string }>('SHOW synchronous_commit')).rows.map(
      (row) => ({
        on: Object.values(row)[0] ?? '',
      }),
    )
    print(
      `       the peer commits with synchronous_commit = ${on}; Spillway's limits with off (${show(ours)}/s)`,
    )
  } finally {
    await pool.end()
    await spillway.close()
  }
}

function contestant(
  name: string,
  { quick }: Options,
  call: (i: number) => Promise<unknown> | undefined,
): Contestant {
  let calls = 0
  return {
    name,
    round: async () => {
      const ms = quick ? 1000 : 3000
      const begun = performance.now()
      const end = begun + ms
      let count = 0
      const caller = async () => {
        while (performance.now() < end) {
          calls += 1
          await call(calls)
          count += 1
          // What needs no store would never let the clock of others come to its turn.
          if (count % 1000 === 0) await new Promise((resolve) => setImmediate(resolve))
        }
      }
      await Promise.all(Array.from({ length: CALLERS }, caller))
      return (count * 1000) / (performance.now() - begun)
    },
  }
}
