import { SpillwayError } from '../errors.js'
import type { Database, Queryable } from '../postgres/client.js'
import type { Identity, RedisClient } from '../redis/client.js'
import { key } from '../redis/keys.js'
import { loadScript } from '../redis/scripts.js'
import type { FlowRef } from '../tenant.js'
import type { Participant } from '../term/term.js'
import type { Kinds } from './kinds.js'

const CARRY = loadScript(import.meta.url, 'fast-carry.lua')
/** Flows looked at together, and events carried of one at a time. */
const FLOWS = 500
const EVENTS = 500

interface Numbered extends FlowRef {
  readonly id: number
  readonly term: number
  readonly term_from: number
  readonly head: number
  readonly born: number
}

interface Carried {
  readonly term: number
  readonly seq: number
  readonly type: string
  readonly source: string
  readonly payload: string
  readonly key: string | null
  readonly at: number
}

export interface FastCarryOptions {
  readonly database: Database
  readonly redis: RedisClient
  readonly kinds: Kinds
  readonly maxEvents: number
  readonly silenceMs: number
}

/** Fast flows at a turn: what this process knows of Redis, told; what PostgreSQL numbered, carried to Redis. */
export class FastCarry implements Participant {
  readonly name = 'fast flows'
  readonly #options: FastCarryOptions
  /** How far each flow was carried, in the reign that is being carried. */
  readonly #done = new Map<number, number>()
  #reign = 0
  /** The Redis that has it. */
  #into: Identity | undefined

  constructor(options: FastCarryOptions) {
    this.#options = options
  }

  reclaim(tx: Queryable, number: number): Promise<void> {
    return this.#options.kinds.report(tx, number)
  }

  async carry(ending: number): Promise<number> {
    const { identity } = this.#options.redis
    if (this.#reign !== ending || this.#into !== identity) this.#done.clear()
    this.#reign = ending
    this.#into = identity
    const before = await this.#lastOnRedis(ending)
    let count = 0
    for (let beyond = 0; ; ) {
      const flows = await this.#flows(before, ending, beyond)
      for (const flow of flows) count += await this.#carryFlow(flow, before, ending)
      const last = flows.at(-1)
      if (!last) return count
      beyond = last.id
    }
  }

  /** The last term on Redis: PostgreSQL may have reigned more than once since. */
  async #lastOnRedis(ending: number): Promise<number> {
    const [row] = await this.#options.database.query<{ number: number }>(
      "SELECT coalesce(max(number), 0) AS number FROM spillway.turns WHERE store = 'redis' AND number < $1",
      [ending],
    )
    return Number(row?.number)
  }

  #flows(before: number, ending: number, beyond: number): Promise<Numbered[]> {
    return this.#options.database.scoped('all', (tx) =>
      tx.query<Numbered>(
        `SELECT flow_id AS id, tenant, flow, term, term_from, head, born FROM spillway.heads
         WHERE durability = 'fast' AND counted = 'postgres' AND term > $1 AND term <= $2 AND flow_id > $3
         ORDER BY flow_id LIMIT ${FLOWS}`,
        [before, ending, beyond],
      ),
    )
  }

  async #carryFlow(flow: Numbered, before: number, ending: number): Promise<number> {
    const { id, term, term_from, head, born } = flow
    const { redis, maxEvents, silenceMs } = this.#options
    const keys = [key('flow:events', flow), key('flow:log', flow), key('flow:keys', flow)]
    const oldest = head - maxEvents
    let after = Math.max(this.#done.get(id) ?? 0, oldest)
    let again = false
    let count = 0
    for (;;) {
      const events = await this.#events(flow, before, after)
      const [first = { term, seq: after + 1 }] = events
      const follows = this.#done.has(id)
      // With nothing new, too: what was carried may not be there any more.
      if (events.length === 0 && !follows) return count
      const from = first.term === term ? term_from : first.seq
      const told = events.flatMap((event) => [
        event.type,
        event.source,
        event.payload,
        event.key ?? '',
        event.at,
      ])
      const place = [ending, first.term, from, first.seq, follows ? 1 : 0, born]
      const args = [...place, maxEvents, silenceMs, ...told]
      if ((await redis.run(CARRY, keys, args, this.#into)) === null) {
        if (again) throw new SpillwayError('STORE_UNAVAILABLE', 'Redis loses what is carried to it')
        again = true
        this.#done.delete(id)
        after = oldest
        continue
      }
      if (events.length === 0) return count
      count += events.length
      after = first.seq + events.length - 1
      this.#done.set(id, after)
      if (after >= head) return count
    }
  }

  /** What follows, of one term. */
  async #events({ id, tenant }: Numbered, before: number, after: number): Promise<readonly Carried[]> {
    const events = await this.#options.database.scoped([tenant], (tx) =>
      tx.query<Carried>(
        `SELECT term, seq, type, source, payload, key, round(extract(epoch FROM at)::float8 * 1000) AS at
         FROM spillway.events WHERE flow_id = $1 AND seq > $2 AND term > $3 ORDER BY seq LIMIT ${EVENTS}`,
        [id, after, before],
      ),
    )
    const other = events.findIndex(({ term }) => term !== events[0]?.term)
    return other < 0 ? events : events.slice(0, other)
  }
}
