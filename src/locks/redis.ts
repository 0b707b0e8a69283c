import { SpillwayError } from '../errors.js'
import type { RedisClient, Reply } from '../redis/client.js'
import { loadScript, type Script } from '../redis/scripts.js'
import { fenceFloor, type Reign } from '../term/term.js'
import { type LockKeys, lockKeys } from './keys.js'
import {
  type Ask,
  fencesSpent,
  type GiveBack,
  type GivenBack,
  type HeldLock,
  keptMs,
  type LeaseFacts,
  type LeaseRef,
  LOCK_LIMITS,
  type LockRef,
  type LockStore,
  type MovedLease,
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

/** Locks on Redis: one script each, which compares the reign with the marker of its bucket. */
export class RedisLocks implements LockStore {
  readonly #redis: RedisClient

  constructor(redis: RedisClient) {
    this.#redis = redis
  }

  async take(ask: Ask, reign: Reign): Promise<Taken> {
    const { marker, lock, fences, queue, waiting } = lockKeys(ask)
    const { claim, holder, ttlMs, patienceMs } = ask
    const [verdict, ...rest] = await this.#run(
      TAKE,
      [marker, lock, fences, queue, waiting],
      [
        ...[reign.sign, reign.number, reign.fenceFloor, fenceFloor(reign.number + 1)],
        ...[claim, holder, ttlMs, keptMs(ttlMs), reign.quarantined ? 0 : 1, patienceMs, LOCK_LIMITS.waiters],
      ],
      reign,
    )
    switch (verdict) {
      case 'HELD':
        return { fence: Number(rest[0]) }
      case 'BUSY': {
        const [who, since, leftMs, first] = rest
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
      case 'FULL':
        throw tooManyWaiters()
      case 'SPENT':
        throw fencesSpent(reign.number)
      default:
        throw new SpillwayError('INTERNAL', 'lock-take.lua answered nothing that is known')
    }
  }

  async renew(lease: LeaseRef, ttlMs: number | undefined, reign: Reign): Promise<LeaseFacts | undefined> {
    const { marker, lock } = lockKeys(lease)
    const times = ttlMs === undefined ? ['', ''] : [ttlMs, keptMs(ttlMs)]
    const [claim, holder, since, ttl] = await this.#run(
      RENEW,
      [marker, lock],
      [reign.sign, reign.number, lease.fence, ...times],
      reign,
    )
    if (claim === undefined) return undefined
    return { claim: String(claim), holder: String(holder), since: Number(since), ttlMs: Number(ttl) }
  }

  async giveBack(what: GiveBack, reign: Reign): Promise<GivenBack> {
    const { marker, lock, queue, waiting, freed } = lockKeys(what)
    const { publishCommand } = this.#redis
    const which = 'claim' in what ? ['', what.claim] : [what.fence, '']
    const [released, next] = await this.#run(
      GIVE_BACK,
      [marker, lock, queue, waiting],
      [reign.sign, reign.number, ...which, publishCommand, freed],
      reign,
    )
    return { released: released === 1, next: next === undefined ? undefined : String(next) }
  }

  look(ref: LockRef, reign: Reign): Promise<HeldLock | undefined> {
    return heldLock(this.#redis, ref, reign)
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
    const buckets = new Map<string, { keys: LockKeys; lease: MovedLease }[]>()
    for (const lease of leases) {
      const keys = lockKeys(lease)
      const bucket = buckets.get(keys.marker)
      if (bucket) bucket.push({ keys, lease })
      else buckets.set(keys.marker, [{ keys, lease }])
    }
    for (const [marker, all] of buckets) {
      for (let from = 0; from < all.length; from += CARRIED) {
        const some = all.slice(from, from + CARRIED)
        const taken = await this.#redis.run(
          CARRY,
          [marker, ...some.map(({ keys }) => keys.lock)],
          [number, ...some.flatMap(({ lease }) => textsOf(lease))],
        )
        if (taken !== 1) throw refused(number)
      }
    }
  }

  async #run(
    script: Script,
    keys: readonly string[],
    args: readonly (string | number)[],
    { number }: Reign,
  ): Promise<readonly Reply[]> {
    const reply = await this.#redis.run(script, keys, args)
    if (!Array.isArray(reply)) throw new SpillwayError('INTERNAL', `${script.name} answered no list`)
    if (reply[0] === 'TERM') throw refused(number)
    return reply
  }
}

function textsOf({ fence, claim, holder, since, ttlMs, leftMs }: MovedLease): (string | number)[] {
  return [fence, claim, holder, since, ttlMs, keptMs(ttlMs), Math.ceil(leftMs)]
}

function refused(number: number): SpillwayError {
  return new SpillwayError('TERM_UNKNOWN', `Redis is not in term ${number}: the lock was not touched`, {
    retryAfterMs: 100,
  })
}
