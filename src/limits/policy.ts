import { counted, EMPTY, hasEntries, hasRoom, settled } from './counters.js'
import type { Lease, Limit, Take, Told } from './limits.js'
import { counterNow, entriesNow, type Memory } from './memory.js'
import { keyOf } from './names.js'
import { Recent } from './recent.js'
import { type LimitVerdict, limitVerdictOf } from './verdict.js'

const LIMITS = 10_000
/** Instances come and go more slowly than that. */
const COUNTED_MS = 250
/** When whoever was refused by `closed` may ask again. */
const ASK_AGAIN_MS = 1000

interface Entry {
  readonly id: string
  readonly cost: number
  readonly ends: number
}

/** A limit as this instance counts it alone: of `told.age` a counter's age at `at`. */
interface Own {
  told: Told
  at: number
  entries: Entry[]
}

/**
 * Decides by the policies of the limits while no store answers. `local` has this instance's share of the limit, of
 * which is used what was used of the whole when a store was last heard.
 */
export class Policies {
  readonly #memory: Memory
  readonly #instances: () => number
  readonly #own = new Recent<Own>(LIMITS)
  #used = false
  #count = 1
  #countedAt = Number.NEGATIVE_INFINITY

  /** `instances`: how many share the limits. */
  constructor(memory: Memory, instances: () => number) {
    this.#memory = memory
    this.#instances = instances
  }

  decide(take: Take): { readonly allowed: boolean; readonly limits: readonly LimitVerdict[] } {
    const now = performance.now()
    const states = take.limits.map((limit) => this.#state(limit, now))
    const allowed = states.every(({ verdict }) => verdict.allowed)
    const limits = states.map(({ shared, own, verdict }) => {
      if (!own || !allowed) return verdict
      this.#spend(take.id, shared, own, now)
      return { ...limitVerdictOf(shared, own.told), allowed: true, retryAfterMs: 0 }
    })
    return { allowed, limits }
  }

  /** A lease that was granted here alone. */
  release({ id, tenant, names }: Lease): void {
    if (!this.#used) return
    for (const name of names) {
      const own = this.#own.get(keyOf(tenant, name, 'concurrency'))
      if (own) own.entries = own.entries.filter((entry) => entry.id !== id)
    }
  }

  /** A store answers again: what is counted here begins anew the next time. */
  over(): void {
    if (this.#used) this.#own.clear()
    this.#used = false
  }

  #state(limit: Limit, now: number): { shared: Limit; own?: Own; verdict: LimitVerdict } {
    const { name, algorithm, max, perMs, whenAway } = limit
    const told = { name, algorithm, max, perMs, resetMs: 0 }
    if (whenAway === 'open')
      return { shared: limit, verdict: { ...told, allowed: true, remaining: max, retryAfterMs: 0 } }
    const refused = { ...told, allowed: false, remaining: 0, retryAfterMs: ASK_AGAIN_MS }
    if (whenAway === 'closed') return { shared: limit, verdict: refused }
    const shared = { ...limit, max: Math.max(1, Math.floor(max / this.#sharing(now))) }
    if (limit.cost > shared.max) return { shared, verdict: refused }
    const own = this.#ownOf(limit, shared, now)
    this.#settle(own, shared, now)
    return { shared, own, verdict: limitVerdictOf(shared, own.told) }
  }

  #sharing(now: number): number {
    if (now - this.#countedAt > COUNTED_MS) {
      this.#countedAt = now
      this.#count = Math.max(1, this.#instances())
    }
    return this.#count
  }

  #ownOf(limit: Limit, shared: Limit, now: number): Own {
    const known = this.#own.get(limit.key)
    if (known) return known
    this.#used = true
    const before = this.#memory.of(limit.key)
    const part = (whole: number) => Math.ceil((whole * shared.max) / limit.max)
    const own: Own = { told: { room: true, ...EMPTY }, at: now, entries: [] }
    if (before && hasEntries(limit.algorithm)) {
      const cost = part(entriesNow(before, now))
      if (cost > 0) own.entries.push({ id: '', cost, ends: now + limit.perMs })
    } else if (before) {
      const { a, b, age } = counterNow(before, now)
      own.told = { room: true, a: part(a), b: part(b), age }
    }
    this.#own.set(limit.key, own)
    return own
  }

  #settle(own: Own, shared: Limit, now: number): void {
    if (hasEntries(shared.algorithm)) {
      own.entries = own.entries.filter(({ ends }) => ends > now)
      own.told = toldOf(own.entries, shared, now)
    } else {
      const passed = Math.floor(now - own.at)
      own.at += passed
      const counter = settled({ ...own.told, age: own.told.age + passed }, shared)
      own.told = { ...counter, room: hasRoom(counter, shared) }
    }
  }

  #spend(id: string, shared: Limit, own: Own, now: number): void {
    if (hasEntries(shared.algorithm)) {
      if (shared.cost > 0) own.entries.push({ id, cost: shared.cost, ends: now + shared.perMs })
      own.told = toldOf(own.entries, { ...shared, cost: 0 }, now)
    } else own.told = { ...counted(own.told, shared), room: true }
  }
}

function toldOf(entries: readonly Entry[], { max, cost }: Limit, now: number): Told {
  const byEnd = [...entries].sort((x, y) => x.ends - y.ends)
  const a = byEnd.reduce((sum, entry) => sum + entry.cost, 0)
  let gone = 0
  const frees = byEnd.find((entry) => {
    gone += entry.cost
    return gone >= a + cost - max
  })
  const until = (entry: Entry | undefined) => (entry ? Math.ceil(entry.ends - now) : 0)
  const room = a + cost <= max
  return { room, a, b: until(byEnd.at(-1)), age: room ? 0 : until(frees) }
}
