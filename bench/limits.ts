import { readFileSync } from 'node:fs'
import { Redis } from 'ioredis'
import pg from 'pg'
import { RateLimiterPostgres, RateLimiterRedis } from 'rate-limiter-flexible'
import { type LimitSpec, Spillway } from 'spillway'
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
    const flooding = [{ name: 'flood', max: 1, perMs: 3_600_000, whenAway: 'closed' as const }]
    await own.take(flooding)
    const cpu = () => process.cpuUsage().user + process.cpuUsage().system + cpuOf(stores.redis.pid)
    const runs = [
      new Run('Spillway, one tenant', (i) => own.take([user(i)]), cpu),
      new Run(`Spillway, ${TENANTS} tenants`, (i) => scopes[i % TENANTS]?.take([user(i)]), cpu),
      new Run('rate-limiter-flexible', (i) => peer.consume(`u${i % USERS}`), cpu),
      new Run('Spillway, three limits a take', (i) => own.take(three(i)), cpu),
      new Run('Spillway, a flooding key', () => own.take(flooding), cpu),
    ]
    const [one = 0, spread = 0, others = 1, all = 0, denied = 0] = await compare(
      runs.map((run) => run.contestant(options)),
      { rounds: options.quick ? 2 : 5, unit: 'takes/s' },
    )
    const [costOfOne = 0, costOfSpread = 0, costOfOthers = 0, costOfThree = 0] = runs.map(({ cost }) => cost)
    for (const { name, cost } of runs)
      print(`       ${name}: ${show(cost)} µs of CPU a take, here and in Redis`)
    claim('Redis: Spillway / rate-limiter-flexible', one / others, { atLeast: 1.3 })
    claim(`Redis: Spillway, ${TENANTS} tenants / rate-limiter-flexible`, spread / others, { atLeast: 1.3 })
    print(`       by CPU: ${show(costOfOthers / costOfOne)} and ${show(costOfOthers / costOfSpread)}`)
    // On a machine that others load too, the processor's time says more than the clock.
    claim('three limits in one take: its CPU / that of one', costOfThree / costOfOne, { atMost: 1.5 })
    print(`       by takes a second: ${show(one / all)}`)
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
        new Run('Spillway', take).contestant(options),
        new Run('rate-limiter-flexible', (i) => peer.consume(`u${i % USERS}`)).contestant(options),
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

/** One contestant, and what its calls cost. */
class Run {
  readonly name: string
  readonly #call: (i: number) => Promise<unknown> | undefined
  readonly #cpu: () => number
  readonly #costs: number[] = []
  #calls = 0

  /** `cpu`: µs that were used until now. */
  constructor(name: string, call: (i: number) => Promise<unknown> | undefined, cpu = () => 0) {
    this.name = name
    this.#call = call
    this.#cpu = cpu
  }

  /** µs a call, in the median of the rounds but the first. */
  get cost(): number {
    return percentile(this.#costs.slice(1), 50)
  }

  contestant({ quick }: Options): Contestant {
    return { name: this.name, round: () => this.#round(quick ? 1000 : 3000) }
  }

  async #round(ms: number): Promise<number> {
    const [begun, before] = [performance.now(), this.#cpu()]
    let count = 0
    const caller = async () => {
      while (performance.now() < begun + ms) {
        this.#calls += 1
        await this.#call(this.#calls)
        count += 1
        // What needs no store would let nothing else come to its turn.
        if (count % 2000 === 0) await new Promise((resolve) => setImmediate(resolve))
      }
    }
    await Promise.all(Array.from({ length: CALLERS }, caller))
    this.#costs.push((this.#cpu() - before) / count)
    return (count * 1000) / (performance.now() - begun)
  }
}

/** µs of a process, where the system says it: Linux. */
function cpuOf(pid: number | undefined): number {
  try {
    const [, , , , , , , , , , , , , user, system] = readFileSync(`/proc/${pid}/stat`, 'utf8').split(' ')
    return (Number(user) + Number(system)) * 10_000
  } catch {
    return 0
  }
}
