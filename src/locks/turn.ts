import type { Queryable } from '../postgres/client.js'
import type { Participant } from '../term/term.js'
import type { Leases } from './leases.js'
import type { LockRef } from './locks.js'
import type { PostgresLocks } from './postgres.js'
import type { RedisLocks } from './redis.js'

/** Leases written, read and carried together. */
const PAGE = 2000

/** Leases at a turn: each instance saves its own as it stops, and whoever leads brings them to Redis. */
export class LockTurn implements Participant {
  readonly name = 'locks'
  readonly #leases: Leases
  readonly #postgres: PostgresLocks
  readonly #redis: RedisLocks | undefined

  constructor(parts: { leases: Leases; postgres: PostgresLocks; redis: RedisLocks | undefined }) {
    this.#leases = parts.leases
    this.#postgres = parts.postgres
    this.#redis = parts.redis
  }

  async reclaim(tx: Queryable, number: number): Promise<void> {
    const live = this.#leases.live()
    for (let from = 0; from < live.length; from += PAGE)
      await this.#postgres.reclaim(tx, live.slice(from, from + PAGE), number + 1)
  }

  /** Only when all have stopped: before that leases come and go. */
  async carry(ending: number, part: 'bulk' | 'rest'): Promise<number> {
    if (part === 'bulk' || !this.#redis) return 0
    let count = 0
    for (let beyond: LockRef = { tenant: '', name: '' }; ; ) {
      const leases = await this.#postgres.known(ending, beyond, PAGE)
      const last = leases.at(-1)
      if (!last) return count
      await this.#redis.carry(leases, ending + 1)
      count += leases.length
      beyond = last
    }
  }
}
