import { randomUUID } from 'node:crypto'
import type { Database, Queryable } from '../postgres/client.js'
import type { Identity, RedisClient } from '../redis/client.js'
import { BUCKETS, key, markerOf } from '../redis/keys.js'
import { loadScript } from '../redis/scripts.js'
import type { Participant, Reign } from '../term/term.js'
import { hasEntries } from './counters.js'
import type { Algorithm } from './limits.js'
import { counterNow, entriesNow, leftOf, type Memory } from './memory.js'
import { keyOf } from './names.js'

const CARRY = loadScript(import.meta.url, 'carry.lua')
const CARRIED = BUCKETS.map((bucket) => key('rate_limit:carried', { bucket }))
const WITNESSED_MS = 600_000
/** Limits told to PostgreSQL, and read from it, in one statement; limits and leases that one script takes. */
const TOLD = 2000
const PAGE = 2000
const ROWS = 100
/** Longer than a statement may have been under way when the first part of a carry-over read what there was. */
const OVERLAP_MS = 15_000

interface ToldRow {
  readonly tenant: string
  readonly name: string
  readonly algorithm: Algorithm
  readonly id: string
  readonly max: number
  readonly perMs: number
  readonly a: number
  readonly b: number
  readonly age: number
  readonly left: number
  /** ms since it was told. */
  readonly told: number
}

interface CarriedRow {
  readonly tenant: string
  readonly name: string
  readonly algorithm: Algorithm
  readonly most: number
  readonly per_ms: number
  readonly a: number | string
  readonly b: number
  readonly age: number
}

/**
 * Limits at a turn: what this instance was told by a Redis whose reign ends, told to PostgreSQL; what PostgreSQL has,
 * carried to the Redis that reigns next. Both by the greater value, and as what is left: the stores' clocks differ.
 */
export class LimitCarry implements Participant {
  readonly name = 'limits'
  readonly #memory: Memory
  readonly #db: Database
  readonly #redis: RedisClient
  /** The first part of a carry-over: of which reign, until when it was read by PostgreSQL's clock, and what says so there. */
  #bulk = { ending: 0, until: 0, token: '' }
  /** The Redis that it goes to: nobody else is sent anything. */
  #into: Identity | undefined

  /** The last reign of which this instance has told. */
  #toldOf = 0

  constructor(parts: { memory: Memory; database: Database; redis: RedisClient }) {
    this.#memory = parts.memory
    this.#db = parts.database
    this.#redis = parts.redis
  }

  async reclaim(tx: Queryable, number: number): Promise<void> {
    const rows = [...this.#told(number)]
    for (let i = 0; i < rows.length; i += TOLD) await tell(tx, rows.slice(i, i + TOLD))
    this.#toldOf = number
  }

  /** Whoever stood still while the others turned tells afterwards: the greater value holds whenever it comes. */
  async catchUp(reign: Reign): Promise<void> {
    const missed = reign.number - 1
    if (reign.store !== 'postgres' || this.#toldOf >= missed) return
    await this.#db.scoped('all', (tx) => this.reclaim(tx, missed))
  }

  *#told(number: number): Generator<ToldRow> {
    const now = performance.now()
    for (const one of this.#memory.toldIn(number)) {
      const { limit } = one
      const shared = { ...limit, id: '', told: now - one.at, left: 0 }
      if (!hasEntries(limit.algorithm)) {
        const counter = counterNow(one, now)
        if (counter.a + counter.b > 0) yield { ...shared, ...counter }
      } else if (limit.algorithm === 'sliding-log') {
        const a = entriesNow(one, now)
        if (a > 0) yield { ...shared, a, b: 0, age: 0, left: limit.perMs }
      }
    }
    for (const held of this.#memory.leases()) {
      const left = leftOf(held, now)
      if (left <= 0) continue
      const { id, limits } = held.take
      for (const limit of limits.filter(({ algorithm, cost }) => algorithm === 'concurrency' && cost > 0))
        yield { ...limit, id, a: limit.cost, b: 0, age: 0, left, told: now - held.at }
    }
  }

  async carry(ending: number, part: 'bulk' | 'rest'): Promise<number> {
    this.#into = this.#redis.identity
    const since = (await this.#hasBulk(ending)) ? this.#bulk.until - OVERLAP_MS : 0
    const [clock] = await this.#db.query<{ now: number }>('SELECT spillway.now_ms() AS now')
    let count = await this.#carryAll(ending, (after) => this.#counters(since, after))
    // Leases are given back: those that were carried too early would stay until their end.
    if (part === 'rest') count += await this.#carryAll(ending, (after) => this.#leases(after))
    else await this.#noteBulk(ending, clock?.now ?? 0)
    return count
  }

  /** In each bucket, because any of them may be lost: emptied, or come back with what it had before. */
  async #noteBulk(ending: number, until: number): Promise<void> {
    const token = randomUUID()
    await Promise.all(CARRIED.map((witness) => this.#redis.call('set', witness, token, 'PX', WITNESSED_MS)))
    this.#bulk = { ending, until, token }
  }

  async #hasBulk(ending: number): Promise<boolean> {
    if (this.#bulk.ending !== ending) return false
    const witnesses = await Promise.all(CARRIED.map((witness) => this.#redis.call('get', witness)))
    return witnesses.every((witness) => witness === this.#bulk.token)
  }

  async #carryAll(ending: number, page: (after: Place) => Promise<readonly CarriedRow[]>): Promise<number> {
    let count = 0
    for (let after: Place = ['', '', '', '']; ; ) {
      const rows = await page(after)
      const last = rows.at(-1)
      if (!last) return count
      await this.#send(ending, rows)
      count += rows.length
      after = [last.tenant, last.name, last.algorithm, last.algorithm === 'concurrency' ? String(last.a) : '']
    }
  }

  #counters(since: number, [tenant, name, algorithm]: Place): Promise<CarriedRow[]> {
    return this.#db.scoped('all', (tx) =>
      tx.query<CarriedRow>(
        `SELECT l.tenant, l.name, l.algorithm, l.most, l.per_ms, greatest(now.ms - l.at_ms, 0) AS age, l.b,
           CASE l.algorithm WHEN 'sliding-log' THEN e.entries ELSE l.a END::float8 AS a
         FROM (SELECT spillway.now_ms() AS ms) now, spillway.limits l
         CROSS JOIN LATERAL (
           SELECT coalesce(sum(x.cost), 0) AS entries FROM spillway.limit_entries x
           WHERE l.algorithm = 'sliding-log' AND x.tenant = l.tenant AND x.name = l.name AND x.algorithm = 'sliding-log'
             AND x.ends_ms > now.ms
         ) e
         WHERE (l.tenant, l.name, l.algorithm) > ($1, $2, $3) AND l.algorithm <> 'concurrency'
           AND l.ends_ms > now.ms AND l.touched_ms >= $4
         ORDER BY l.tenant, l.name, l.algorithm LIMIT ${PAGE}`,
        [tenant, name, algorithm, since],
      ),
    )
  }

  /** Of each concurrency limit first a row of its own, then one a lease, whose `a` is its id. */
  #leases([tenant, name, , id]: Place): Promise<CarriedRow[]> {
    return this.#db.scoped('all', (tx) =>
      tx.query<CarriedRow>(
        `SELECT r.tenant, r.name, 'concurrency' AS algorithm, r.most, r.per_ms, r.id AS a, r.cost AS b, r.left_ms AS age
         FROM (SELECT spillway.now_ms() AS ms) now CROSS JOIN LATERAL (
           SELECT l.tenant, l.name, l.most, l.per_ms, '' COLLATE "C" AS id, 0 AS cost, 0::bigint AS left_ms
           FROM spillway.limits l WHERE l.algorithm = 'concurrency' AND l.ends_ms > now.ms
           UNION ALL
           SELECT e.tenant, e.name, 1, 1, e.id, e.cost, e.ends_ms - now.ms
           FROM spillway.limit_entries e WHERE e.algorithm = 'concurrency' AND e.ends_ms > now.ms
         ) r
         WHERE (r.tenant, r.name, r.id) > ($1, $2, $3) ORDER BY r.tenant, r.name, r.id LIMIT ${PAGE}`,
        [tenant, name, id],
      ),
    )
  }

  /** Those of one bucket together, in their order. */
  async #send(ending: number, rows: readonly CarriedRow[]): Promise<void> {
    const buckets = new Map<string, { keys: string[]; words: (string | number)[] }>()
    for (const { tenant, name, algorithm, most, per_ms, a, b, age } of rows) {
      const limit = keyOf(tenant, name, algorithm)
      const marker = markerOf(limit)
      const bucket = buckets.get(marker) ?? { keys: [], words: [] }
      buckets.set(marker, bucket)
      bucket.keys.push(limit)
      bucket.words.push(algorithm, most, per_ms, a, b, age)
    }
    await Promise.all(
      [...buckets].map(async ([marker, { keys, words }]) => {
        for (let i = 0; i < keys.length; i += ROWS) {
          const some = words.slice(6 * i, 6 * (i + ROWS))
          await this.#redis.run(CARRY, [marker, ...keys.slice(i, i + ROWS)], [ending, ...some], this.#into)
        }
      }),
    )
  }
}

/** Tenant, name, algorithm and lease behind which a page begins. */
type Place = [string, string, string, string]

async function tell(tx: Queryable, rows: readonly ToldRow[]): Promise<void> {
  await tx.query('SELECT spillway.tell_limits($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)', [
    rows.map(({ tenant }) => tenant),
    rows.map(({ name }) => name),
    rows.map(({ algorithm }) => algorithm),
    rows.map(({ id }) => id),
    rows.map(({ max }) => max),
    rows.map(({ perMs }) => perMs),
    rows.map(({ a }) => a),
    rows.map(({ b }) => b),
    rows.map(({ age }) => age),
    rows.map(({ left }) => left),
    rows.map(({ told }) => told),
  ])
}
