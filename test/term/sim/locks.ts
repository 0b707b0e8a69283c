import { SpillwayError } from '../../../src/errors.js'
import type { Queryable } from '../../../src/postgres/client.js'
import type { Participant } from '../../../src/term/term.js'
import { DRIFT } from '../../../src/term/timing.js'
import { type ClientParts, operate } from './operate.js'
import { type MovedLease, takeIn } from './stored.js'

const NAMES = ['x', 'y']

/** Takes, renews and releases locks on whichever store reigns: the strictest client that the term has. */
export class Locks implements Participant {
  readonly name = 'locks'
  readonly #parts: ClientParts
  /** Deadlines are of this process's clock. */
  readonly #held = new Map<string, { readonly fence: number; deadline: number }>()

  constructor(parts: ClientParts) {
    this.#parts = parts
  }

  begin(): void {
    for (const name of NAMES) this.#soon(name)
  }

  async reclaim(tx: Queryable): Promise<void> {
    if (this.#parts.off.has('reclaim')) return
    const now = this.#parts.host.now()
    for (const [name, { fence, deadline }] of this.#held) {
      if (deadline > now) await tx.query('lease', [name, fence, (deadline - now) * DRIFT + 50])
    }
  }

  async carry(ending: number, part: 'bulk' | 'rest'): Promise<number> {
    const { table, postgres, markers, off } = this.#parts
    if (part === 'bulk' || off.has('carry-over')) return 0
    const leases = await table.change('read', (): MovedLease[] =>
      [...postgres.stored.leases].map(([name, { fence, until }]) => ({
        name,
        fence,
        leftMs: (until - postgres.now()) * DRIFT + 50,
      })),
    )
    const live = leases.filter(({ leftMs }) => leftMs > 50)
    const done = await markers.carry(ending, (redis) => {
      for (const lease of live) takeIn(redis.data, redis.now(), lease, off)
    })
    if (!done) throw new SpillwayError('STORE_UNAVAILABLE', 'carried too late')
    return live.length
  }

  #soon(name: string): void {
    const { host } = this.#parts
    host.after(host.world.between(30, 350), () => void this.#act(name).finally(() => this.#soon(name)))
  }

  async #act(name: string): Promise<void> {
    const { host } = this.#parts
    const mine = this.#held.get(name)
    try {
      if (!mine || mine.deadline <= host.now()) {
        this.#held.delete(name)
        await this.#acquire(name)
      } else if (host.world.chance(0.2)) await this.#release(name, mine.fence)
      else if (host.world.chance(0.6)) await this.#renew(name, mine)
    } catch (error) {
      if (!(error instanceof SpillwayError)) throw error
      this.#parts.checker.seen.refused += 1
    }
  }

  async #acquire(name: string): Promise<void> {
    const { host, checker, who } = this.#parts
    const asked = host.now()
    const ttlMs = this.#ttl()
    const fence = await operate(this.#parts, 'acquire', (stored, now, reign, inQuarantine) => {
      const { leases } = stored
      const known = leases.get(name)
      if (known && known.until > now) return undefined
      if (reign.quarantined && !this.#parts.off.has('quarantine')) return undefined
      stored.grants += 1
      const next = reign.fenceFloor + stored.grants
      leases.set(name, { fence: next, until: now + this.#kept(ttlMs) })
      checker.granted(who, inQuarantine && !this.#parts.off.has('quarantine'))
      return next
    })
    const left = asked + ttlMs - host.now()
    if (fence === undefined || left <= 0) return
    this.#held.set(name, { fence, deadline: asked + ttlMs })
    checker.holds(name, who, fence, left / host.rate)
  }

  async #renew(name: string, mine: { readonly fence: number; deadline: number }): Promise<void> {
    const { host, checker, who } = this.#parts
    const asked = host.now()
    const ttlMs = this.#ttl()
    const number = await operate(this.#parts, 'renew', ({ leases }, now, reign) => {
      const known = leases.get(name)
      if (known?.fence !== mine.fence) return undefined
      // Never sooner than it was: if this answer is lost the holder goes on counting on the one before.
      const sooner = this.#parts.off.has('a renewal never shortens') ? 0 : known.until
      leases.set(name, { fence: mine.fence, until: Math.max(sooner, now + this.#kept(ttlMs)) })
      return reign.number
    })
    const left = asked + ttlMs - host.now()
    if (number === undefined) {
      // It is lost, or another holds it: the holder does not wait for its deadline.
      this.#held.delete(name)
      checker.released(name, who)
    } else if (left > 0) {
      // A deadline that has passed stays passed: the holder has let go.
      if (mine.deadline <= host.now()) return
      mine.deadline = asked + ttlMs
      checker.renewed(name, who, mine.fence, left / host.rate, number)
    }
  }

  async #release(name: string, fence: number): Promise<void> {
    this.#held.delete(name)
    this.#parts.checker.released(name, this.#parts.who)
    await operate(this.#parts, 'release', ({ leases }) => {
      if (leases.get(name)?.fence === fence) leases.delete(name)
      return undefined
    })
  }

  /** The longest as often as all others: it is the one that waits must cover. */
  #ttl(): number {
    const { host, longestMs } = this.#parts
    return host.world.chance(0.4) ? longestMs : host.world.between(200, longestMs)
  }

  /** Longer than what its holder counts on: one more round of the clocks, and a little. */
  #kept(ttlMs: number): number {
    return this.#parts.off.has('leases longer in the store') ? ttlMs : ttlMs * DRIFT + 20
  }
}
