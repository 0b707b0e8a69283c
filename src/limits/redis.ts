import { SpillwayError } from '../errors.js'
import type { RedisClient, Reply } from '../redis/client.js'
import { BUCKETS, key, markerOf } from '../redis/keys.js'
import { loadScript, type Script } from '../redis/scripts.js'
import type { Reign } from '../term/term.js'
import { batchesOf, readInto } from './batches.js'
import { hasEntries, remaining, settled, untilReset } from './counters.js'
import {
  ALGORITHMS,
  type Lease,
  type LeaseRenewal,
  type LimitPage,
  type LimitQuery,
  type LimitReport,
  type LimitStore,
  type Outcome,
  type Take,
} from './limits.js'
import { keyOf, limitOf, limitsGlob } from './names.js'

const TAKE = loadScript(import.meta.url, 'take.lua')
const RENEW = loadScript(import.meta.url, 'renew.lua')
const RELEASE = loadScript(import.meta.url, 'release.lua')
const LOOK = loadScript(import.meta.url, 'look.lua')
const RESET = loadScript(import.meta.url, 'reset.lua')

/** Keys looked at by one script. */
const AT_ONCE = 100
/** Keys looked at by one call of `list`, which may end a page early. */
const SCANNED = 20_000
const SCAN_COUNT = 1000
/** Limits on Redis: all of a tenant lie in one bucket, so that one script decides a take, on a Cluster too. */
export class RedisLimits implements LimitStore {
  readonly #redis: RedisClient
  readonly #markers = new Map<string, string>()

  constructor(redis: RedisClient) {
    this.#redis = redis
  }

  async take(takes: readonly Take[], reign: Reign): Promise<readonly Outcome[]> {
    const { sign, marker } = reign
    const on = reign.identity || undefined
    if (takes.length === 0) {
      const any = key('term:marker', { bucket: BUCKETS[0] ?? '' })
      read(await this.#redis.run(TAKE, [any], [sign, '[]', '[]'], on))
      return []
    }
    const outcomes: Outcome[] = new Array(takes.length)
    // All settle before one failure is told: what runs on would surprise the repeat.
    const results = await Promise.allSettled(
      batchesOf(takes, marker === '' ? (limit) => this.#markerOf(limit.key) : () => marker).map(
        async (batch) => {
          const { keys, numbers, words } = batch
          const args = [sign, JSON.stringify(numbers), JSON.stringify(words)]
          // Where one marker stands for all, one script decides what arrived together, whosever it is.
          const reply =
            marker === ''
              ? this.#redis.run(TAKE, keys, args, on)
              : this.#redis.runAcross(TAKE, keys, args, on)
          readInto(outcomes, read(await reply), batch, takes)
        },
      ),
    )
    const failed = results.find((result) => result.status === 'rejected')
    if (failed) throw failed.reason
    return outcomes
  }

  /** By the bucket in the key, of which there are few. */
  #markerOf(text: string): string {
    const from = text.indexOf('{')
    const tag = text.slice(from, from + 5)
    let marker = this.#markers.get(tag)
    if (marker === undefined) {
      marker = markerOf(text)
      this.#markers.set(tag, marker)
    }
    return marker
  }

  async release(leases: readonly Lease[], reign: Reign): Promise<number> {
    const ended = await Promise.all(
      leases.map(async ({ id, tenant, names }) => {
        const keys = names.map((name) => keyOf(tenant, name, 'concurrency'))
        const ids = names.map(() => id)
        return whole(await this.#ask(RELEASE, keys, reign, ids)) > 0 ? 1 : 0
      }),
    )
    return ended.reduce<number>((sum, one) => sum + one, 0)
  }

  async renew({ id, tenant, limits }: LeaseRenewal, reign: Reign): Promise<readonly number[] | undefined> {
    const keys = limits.map(({ name }) => keyOf(tenant, name, 'concurrency'))
    const reply = await this.#ask(RENEW, keys, reign, [id, ...limits.map(({ perMs }) => perMs)])
    return reply === 0 ? undefined : read(reply)
  }

  async reset(tenant: string, name: string, reign: Reign): Promise<boolean> {
    const keys = ALGORITHMS.map((algorithm) => keyOf(tenant, name, algorithm))
    return whole(await this.#ask(RESET, keys, reign)) > 0
  }

  #ask(
    script: Script,
    keys: readonly string[],
    { sign, identity }: Reign,
    more: readonly (string | number)[] = [],
  ): Promise<Reply> {
    const marker = this.#markerOf(keys[0] ?? '')
    return this.#redis.run(script, [marker, ...keys], [sign, ...more], identity || undefined)
  }

  async list(tenant: string, { name, after, limit }: LimitQuery): Promise<LimitPage> {
    if (name !== undefined) {
      return { limits: await this.#look(ALGORITHMS.map((one) => keyOf(tenant, name, one))), next: null }
    }
    // A cursor a master; that of a master which was read to its end is empty.
    let cursors = after?.split('.') ?? []
    const found: LimitReport[] = []
    for (let scanned = 0; scanned < SCANNED && found.length < limit; scanned += SCAN_COUNT) {
      const [next, keys] = await this.#scan(limitsGlob(tenant), cursors)
      const own = keys.filter((text) => limitOf(text)?.tenant === tenant)
      for (let i = 0; i < own.length; i += AT_ONCE)
        found.push(...(await this.#look(own.slice(i, i + AT_ONCE))))
      cursors = next
      if (next.every((cursor) => cursor === '')) return { limits: found, next: null }
    }
    return { limits: found, next: cursors.join('.') }
  }

  async #scan(glob: string, cursors: readonly string[]): Promise<[string[], string[]]> {
    let place = 0
    const pages = await this.#redis.onEachMaster(async (master): Promise<Reply> => {
      const cursor = cursors[place++] ?? '0'
      if (!/^\d+$/.test(cursor)) return ['', []]
      return master.call('scan', cursor, 'MATCH', glob, 'COUNT', SCAN_COUNT)
    })
    const next: string[] = []
    const keys: string[] = []
    for (const page of pages) {
      const [cursor, found] = Array.isArray(page) ? page : []
      next.push(cursor === '0' ? '' : String(cursor))
      if (Array.isArray(found)) keys.push(...found.map(String))
    }
    return [next, keys]
  }

  async #look(keys: readonly string[]): Promise<LimitReport[]> {
    if (keys.length === 0) return []
    const reply = await this.#redis.run(LOOK, keys, [])
    if (!Array.isArray(reply)) throw unexpected()
    const [now, ...states] = reply
    return keys.flatMap((text, i) => reportOf(text, states[i], Number(now)) ?? [])
  }
}

function reportOf(text: string, state: unknown, now: number): LimitReport | undefined {
  const named = limitOf(text)
  if (!named) return undefined
  const { name, algorithm } = named
  if (!Array.isArray(state)) return undefined
  const numbers = state.map(Number)
  if (hasEntries(algorithm)) {
    const [used = 0, ends = now] = numbers
    return used === 0
      ? undefined
      : { name, algorithm, max: null, perMs: null, used, resetMs: Math.max(0, ends - now) }
  }
  const [a = 0, b = 0, since = 0, max = 1, perMs = 1] = numbers
  const limit = { algorithm, max, perMs, cost: 0 }
  const counter = settled({ a, b, age: Math.max(0, now - since) }, limit)
  return {
    name,
    algorithm,
    max,
    perMs,
    used: max - remaining(counter, limit),
    resetMs: untilReset(counter, limit),
  }
}

/** The scripts answer whole numbers only. */
function read(reply: Reply): readonly number[] {
  if (Array.isArray(reply)) return reply as readonly number[]
  if (reply === 'TERM') throw refused()
  throw unexpected()
}

function whole(reply: Reply): number {
  if (typeof reply === 'number') return reply
  if (reply === 'TERM') throw refused()
  throw unexpected()
}

function refused(): SpillwayError {
  return new SpillwayError('TERM_UNKNOWN', 'Redis is not in this term any more', { retryAfterMs: 500 })
}

function unexpected(): SpillwayError {
  return new SpillwayError('INTERNAL', 'A script of limits answered what it never should')
}
