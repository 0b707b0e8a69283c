import { Redis } from 'ioredis'
import pg from 'pg'
import { Mutex } from 'redis-semaphore'
import Redlock from 'redlock'
import { Spillway } from 'spillway'
import { load } from './load.js'
import {
  type Claim,
  type Contestant,
  claim,
  compare,
  type Options,
  percentile,
  print,
  show,
} from './report.js'
import { type BothStores, reigns, startBoth } from './stores.js'

/** Who asks at once, each for a lock of its own out of many. */
const CALLERS = [64, 256] as const
const NAMES = 5000
const TTL_MS = 30_000
const POOL = 10

/**
 * Acquire and release of a free lock, one round trip each: Spillway in full mode while Redis reigns, and its peers on
 * the same Redis, with a driver as they document it and with auto-pipelining; the claim is over the better of the two.
 * On PostgreSQL an advisory lock of a session stands beside it, which is no promise: it has no fence and no end.
 */
export const locks: Claim = {
  name: 'locks',
  says: 'acquire + release on one Redis: ≥ 2 × redlock and redis-semaphore; on PostgreSQL beside an advisory lock',
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

type Cycle = (name: string) => Promise<unknown>

async function onRedis(stores: BothStores, options: Options): Promise<void> {
  const { url } = await stores.database()
  const open = () => Spillway.open({ postgres: url, redis: stores.redis.url })
  const [spillway, other] = await Promise.all([open(), open()])
  const plain = new Redis(stores.redis.url)
  const gathering = new Redis(stores.redis.url, { enableAutoPipelining: true })
  try {
    const number = await reigns(spillway, 'redis')
    await reigns(other, 'redis', number - 1)
    const rounds = { rounds: options.quick ? 2 : 5, unit: 'locks/s' }
    for (const callers of CALLERS) {
      print(`${callers} callers:`)
      const contestants = [
        timed('Spillway', cycleOf(spillway), options, callers),
        timed('redlock', redlockOn(plain), options, callers),
        timed('redlock, auto-pipelining', redlockOn(gathering), options, callers),
        timed('redis-semaphore', mutexOn(plain), options, callers),
        timed('redis-semaphore, auto-pipelining', mutexOn(gathering), options, callers),
      ]
      const [own = 0, ...peers] = await compare(contestants, rounds)
      claim('Spillway / redlock', own / Math.max(...peers.slice(0, 2)), { atLeast: 2 })
      claim('Spillway / redis-semaphore', own / Math.max(...peers.slice(2)), { atLeast: 2 })
    }
    print('one caller after the other:')
    const alone = [
      timed('Spillway', cycleOf(spillway), options, 1),
      timed('redlock', redlockOn(plain), options, 1),
      timed('redis-semaphore', mutexOn(plain), options, 1),
    ]
    await compare(alone, rounds)
    await handOver('Redis', [spillway, other], options)
  } finally {
    plain.disconnect()
    gathering.disconnect()
    await Promise.all([spillway.close(), other.close()])
  }
}

async function onPostgres(stores: BothStores, options: Options): Promise<void> {
  const { url } = await stores.database()
  const open = () => Spillway.open({ postgres: url, config: { poolSize: POOL } })
  const [spillway, other] = await Promise.all([open(), open()])
  const pool = new pg.Pool({ connectionString: url, max: POOL })
  try {
    const rounds = { rounds: options.quick ? 2 : 5, unit: 'locks/s' }
    const [own = 0, advisory = 1] = await compare(
      [
        timed('Spillway on PostgreSQL', cycleOf(spillway), options),
        timed('pg_advisory_lock, a call each', advisoryOn(pool), options),
      ],
      rounds,
    )
    print(`       Spillway on PostgreSQL / advisory lock: ${show(own / advisory)}`)
    await handOver('PostgreSQL', [spillway, other], options)
  } finally {
    await pool.end()
    await Promise.all([spillway.close(), other.close()])
  }
}

function timed(name: string, cycle: Cycle, { quick }: Options, callers: number = CALLERS[0]): Contestant {
  const ms = quick ? 1000 : 3000
  return {
    name,
    round: () =>
      load({ publishers: callers, flows: NAMES, ms }, async (lock, i) => {
        // No two callers at once for one lock.
        await cycle(`lock-${lock}-${i % callers}`)
      }),
  }
}

function cycleOf(spillway: Spillway): Cycle {
  const { locks } = spillway.tenant('bench')
  return async (name) => {
    const got = await locks.acquire(name, { ttlMs: TTL_MS })
    if ('busy' in got || !(await got.lease.release())) throw new Error(`the lock ${name} was not free`)
  }
}

function redlockOn(redis: Redis): Cycle {
  const redlock = new Redlock([redis], { retryCount: 0 })
  return async (name) => (await redlock.acquire([`redlock:${name}`], TTL_MS)).release()
}

function mutexOn(redis: Redis): Cycle {
  return async (name) => {
    const mutex = new Mutex(redis, name, { lockTimeout: TTL_MS })
    await mutex.acquire()
    await mutex.release()
  }
}

/** Both on one connection, which is what a lock of a session asks for. */
function advisoryOn(pool: pg.Pool): Cycle {
  return async (name) => {
    const client = await pool.connect()
    try {
      await client.query('SELECT pg_advisory_lock(hashtextextended($1, 0))', [name])
      await client.query('SELECT pg_advisory_unlock(hashtextextended($1, 0))', [name])
    } finally {
      client.release()
    }
  }
}

/** From the moment in which one instance calls release to that in which the other one has the lock. */
async function handOver(store: string, [a, b]: [Spillway, Spillway], { quick }: Options): Promise<void> {
  const sides = [a.tenant('bench').locks, b.tenant('bench').locks] as const
  const wish = { ttlMs: TTL_MS, waitMs: 30_000 }
  const took: number[] = []
  let got = await sides[0].acquire('hand-over', wish)
  for (let i = 1; i <= (quick ? 100 : 500); i++) {
    if ('busy' in got) throw new Error('the lock was not handed over')
    const { lease } = got
    const next = sides[i % 2 === 0 ? 0 : 1]
    const waits = next.acquire('hand-over', wish)
    await standsInLine(sides[0])
    const began = performance.now()
    const had = waits.then((answer) => {
      took.push(performance.now() - began)
      return answer
    })
    await lease.release()
    got = await had
  }
  if ('lease' in got) await got.lease.release()
  print(
    `hand-over on ${store}, from one instance to the other: p50 ${show(percentile(took, 50))} ms, p99 ${show(percentile(took, 99))} ms`,
  )
}

type Side = ReturnType<Spillway['tenant']>['locks']

async function standsInLine(side: Side): Promise<void> {
  while ((await side.list()).every(({ waiting }) => waiting === 0)) {
    await new Promise((resolve) => setTimeout(resolve, 2))
  }
}
