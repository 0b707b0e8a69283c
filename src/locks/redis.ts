import { SpillwayError } from '../errors.js'
import type { RedisClient, Reply } from '../redis/client.js'
import { loadScript, type Script } from '../redis/scripts.js'
import { fenceFloor, type Reign } from '../term/term.js'
import { bucketOf, endBeside, lockKey, markerIn } from './keys.js'
import {
  type Answers,
  type Ask,
  fencesSpent,
  type GiveBack,
  type GivenBack,
  type HeldLock,
  keptMs,
  type LeaseFacts,
  LOCK_LIMITS,
  type LockRef,
  type LockStore,
  type MovedLease,
  type Renewal,
  type Taken,
  tooManyWaiters,
} from './locks.js'
import { heldLock, heldLocks } from './redis-list.js'

const TAKE = loadScript(import.meta.url, 'lock-take.lua')
const RENEW = loadScript(import.meta.url, 'lock-renew.lua')
const GIVE_BACK = loadScript(import.meta.url, 'lock-give-back.lua')
const CARRY = loadScript(import.meta.url, 'lock-carry.lua')

/** Leases in one script: a server that works on them answers nobody else. */
const CARRIED = 200
/** A carry-over waits so long for a server that was refused until now. */
const READY_MS = 1000

type Text = string | number

/** What a script is told of one of those that are asked for together; the first is the lock's key. */
type Part = readonly [lock: string, ...more: Text[]]

/**
 * Locks on Redis. On one server a script does for all of a batch, under the marker that stands for all; on a Cluster a
 * script a bucket, under the bucket's. The other keys go as arguments: the marker says where they lie.
 */
export class RedisLocks implements LockStore {
  readonly #redis: RedisClient

  constructor(redis: RedisClient) {
    this.#redis = redis
  }

  take(asks: readonly Ask[], reign: Reign): Answers<Taken> {
    const { sign, number, fenceFloor: floor, quarantined } = reign
    const last = fenceFloor(number + 1)
    const fixed = [sign, number, floor, last, LOCK_LIMITS.waiters, quarantined ? 0 : 1, asks.length]
    const parts = asks.map((ask): Part => {
      const { claim, holder, ttlMs, patienceMs } = ask
      const lock = lockKey(ask)
      const kept = `${keptMs(ttlMs)}`
      return [lock, endBeside(ask, lock), patienceMs, kept, `${kept} ${claim} ${ttlMs} ${holder}`]
    })
    return this.#run(TAKE, fixed, parts, reign, (answer) => takenOf(answer, number))
  }

  renew(renewals: readonly Renewal[], reign: Reign): Answers<LeaseFacts | undefined> {
    const parts = renewals.map((renewal): Part => {
      const { fence, ttlMs } = renewal
      const wanted = ttlMs === undefined ? ['-', '-'] : [`${ttlMs}`, `${keptMs(ttlMs)}`]
      return [lockKey(renewal), `${fence}`, ...wanted]
    })
    return this.#run(RENEW, [reign.sign, reign.number], parts, reign, factsOf)
  }

  giveBack(returns: readonly GiveBack[], reign: Reign): Answers<GivenBack> {
    const parts = returns.map((one): Part => {
      const lock = lockKey(one)
      const end = endBeside(one, lock)
      return 'claim' in one ? [lock, end, '-', one.claim] : [lock, end, `${one.fence}`, '-']
    })
    const fixed = [reign.sign, reign.number, this.#redis.publishCommand]
    return this.#run(GIVE_BACK, fixed, parts, reign, givenBackOf)
  }

  look(lock: LockRef, reign: Reign): Promise<HeldLock | undefined> {
    return heldLock(this.#redis, lock, reign)
  }

  list(tenant: string, limit: number, reign: Reign): Promise<HeldLock[]> {
    return heldLocks(this.#redis, tenant, limit, reign)
  }

  /**
   * Brings leases to the reign `number`, which is not open yet. Errors: also `TERM_UNKNOWN` if it is open after all:
   * somebody else has carried.
   */
  async carry(leases: readonly MovedLease[], number: number): Promise<void> {
    await this.#redis.ready(READY_MS)
    // All of them into the same one.
    const { identity } = this.#redis
    const buckets = new Map<string, Text[][]>()
    for (const lease of leases) {
      const { fence, claim, since, ttlMs, holder, leftMs } = lease
      const lock = lockKey(lease)
      const rest = [since, keptMs(ttlMs), claim, ttlMs, holder].join(' ')
      const words = [lock, fence, rest, Math.ceil(leftMs)]
      const bucket = bucketOf(lock)
      const others = buckets.get(bucket)
      if (others) others.push(words)
      else buckets.set(bucket, [words])
    }
    for (const [bucket, all] of buckets) {
      for (let from = 0; from < all.length; from += CARRIED) {
        const words = all.slice(from, from + CARRIED).flat()
        const taken = await this.#redis.run(CARRY, [markerIn(bucket)], [number, ...words], identity)
        if (taken !== 1) throw refused(number)
      }
    }
  }

  async #run<T>(
    script: Script,
    fixed: readonly Text[],
    parts: readonly Part[],
    { marker, number, identity }: Reign,
    read: (answer: Reply | undefined) => T | SpillwayError,
  ): Answers<T> {
    const together = async (marked: string, some: readonly Part[]) => {
      // One text for all: the driver and Redis take longer over many, and Lua over patterns.
      const words: Text[] = []
      for (const part of some) words.push(...part)
      const all = [...fixed, JSON.stringify(words)]
      const reply = await this.#redis.run(script, [marked], all, identity || undefined)
      if (!Array.isArray(reply)) throw new SpillwayError('INTERNAL', `${script.name} answered no list`)
      if (reply[0] === 'TERM') throw refused(number)
      return some.map((_, i) => read(reply[i]))
    }
    if (marker !== '') return together(marker, parts)
    const answers = new Map<Part, T | SpillwayError>()
    await Promise.all(
      byBucket(parts).map(async ([bucket, some]) => {
        const own = await together(markerIn(bucket), some).catch(asError)
        some.forEach((part, i) => {
          answers.set(part, own instanceof SpillwayError ? own : (own[i] as T | SpillwayError))
        })
      }),
    )
    return parts.map((part) => answers.get(part) as T | SpillwayError)
  }
}

function byBucket(parts: readonly Part[]): [string, Part[]][] {
  const buckets = new Map<string, Part[]>()
  for (const part of parts) {
    const bucket = bucketOf(part[0])
    const others = buckets.get(bucket)
    if (others) others.push(part)
    else buckets.set(bucket, [part])
  }
  return [...buckets]
}

function asError(error: unknown): SpillwayError {
  if (error instanceof SpillwayError) return error
  throw error
}

function takenOf(answer: Reply | undefined, number: number): Taken | SpillwayError {
  if (typeof answer === 'number') return { fence: answer }
  if (answer === 'FULL') return tooManyWaiters()
  if (answer === 'SPENT') return fencesSpent(number)
  const [who, since, leftMs, first] = Array.isArray(answer) ? answer : []
  const held = since !== ''
  return {
    busy: {
      holder: held ? String(who) : undefined,
      since: held ? Number(since) : undefined,
      leftMs: Math.max(0, Number(leftMs)),
      first: first === 1,
    },
  }
}

function factsOf(answer: Reply | undefined): LeaseFacts | undefined {
  const [claim, since, ttl, holder] = Array.isArray(answer) ? answer : []
  if (claim === undefined) return undefined
  return { claim: String(claim), holder: String(holder), since: Number(since), ttlMs: Number(ttl) }
}

function givenBackOf(answer: Reply | undefined): GivenBack {
  const [released, next] = Array.isArray(answer) ? answer : [answer]
  return { released: released === 1, next: next === undefined ? undefined : String(next) }
}

function refused(number: number): SpillwayError {
  return new SpillwayError('TERM_UNKNOWN', `Redis is not in term ${number}: no lock was touched`, {
    retryAfterMs: 100,
  })
}
