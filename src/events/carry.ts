import type { Database, Queryable } from '../postgres/client.js'
import type { RedisClient } from '../redis/client.js'
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
  readonly term_from: number
  readonly head: number
}

interface Carried {
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

  constructor(options: FastCarryOptions) {
    this.#options = options
  }

  reclaim(tx: Queryable, number: number): Promise<void> {
    return this.#options.kinds.report(tx, number)
  }

  async carry(ending: number): Promise<number> {
    if (this.#reign !== ending) this.#done.clear()
    this.#reign = ending
    let count = 0
    for (let beyond = 0; ; ) {
      const flows = await this.#flows(ending, beyond)
      for (const flow of flows) count += await this.#carryFlow(flow, ending)
      const last = flows.at(-1)
      if (!last) return count
      beyond = last.id
    }
  }

  #flows(reign: number, beyond: number): Promise<Numbered[]> {
    return this.#options.database.scoped('all', (tx) =>
      tx.query<Numbered>(
        `SELECT flow_id AS id, tenant, flow, term_from, head FROM spillway.heads
         WHERE durability = 'fast' AND counted = 'postgres' AND term = $1 AND head >= term_from AND flow_id > $2
         ORDER BY flow_id LIMIT ${FLOWS}`,
        [reign, beyond],
      ),
    )
  }

  async #carryFlow({ id, tenant, flow, term_from, head }: Numbered, reign: number): Promise<number> {
    const { database, redis, maxEvents, silenceMs } = this.#options
    const ref = { tenant, flow }
    const keys = [key('flow:events', ref), key('flow:log', ref), key('flow:keys', ref)]
    let after = Math.max(this.#done.get(id) ?? 0, term_from - 1, head - maxEvents)
    let count = 0
    for (;;) {
      const events = await database.scoped([tenant], (tx) =>
        tx.query<Carried>(
          `SELECT seq, type, source, payload, key, round(extract(epoch FROM at)::float8 * 1000) AS at
           FROM spillway.events WHERE flow_id = $1 AND seq > $2 ORDER BY seq LIMIT ${EVENTS}`,
          [id, after],
        ),
      )
      const [first] = events
      if (!first) return count
      await redis.run(CARRY, keys, [
        reign,
        term_from,
        first.seq,
        maxEvents,
        silenceMs,
        ...events.flatMap((event) => [event.type, event.source, event.payload, event.key ?? '', event.at]),
      ])
      count += events.length
      after = first.seq + events.length - 1
      this.#done.set(id, after)
    }
  }
}
