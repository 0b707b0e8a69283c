import { SpillwayError } from '../errors.js'
import type { RedisClient } from '../redis/client.js'
import { key } from '../redis/keys.js'
import { loadScript } from '../redis/scripts.js'
import { type Cursor, formatId, parseCursor } from './cursor.js'
import {
  type Claim,
  DEAD_KEPT,
  type DeadEvent,
  type GroupRef,
  type Groups,
  placeOf,
  type Settlement,
} from './groups.js'

const CLAIM = loadScript(import.meta.url, 'group-claim.lua')
const KEEP = loadScript(import.meta.url, 'group-keep.lua')
const SETTLE = loadScript(import.meta.url, 'group-settle.lua')

/**
 * Groups in Redis, where it is the only store. A group is a hash of its own beside the stream, and not the stream's
 * consumer group alone: that hands the next event to each consumer at once, where here one works at a time and in
 * order, also on the gaps that no stream has; and it goes with its stream.
 */
export class RedisGroups implements Groups {
  readonly #redis: RedisClient
  /** ms that a group is remembered after it was last heard of. */
  readonly #lifeMs: number

  constructor(redis: RedisClient, lifeMs: number) {
    this.#redis = redis
    this.#lifeMs = lifeMs
  }

  async claim(ref: GroupRef, owner: string, leaseMs: number, start: Cursor): Promise<Claim | undefined> {
    const reply = await this.#redis.run(
      CLAIM,
      [key('flow:group', ref)],
      [owner, leaseMs, formatId(start.term, start.seq), this.#lifeMs],
    )
    const [place, attempts] = Array.isArray(reply) ? reply : []
    if (place === undefined) return undefined
    const cursor = parseCursor(String(place))
    if (!cursor) throw new SpillwayError('INTERNAL', 'The place of a group is not one of ours')
    return { place: cursor, attempts: Number(attempts) }
  }

  async settle(ref: GroupRef, owner: string, leaseMs: number, outcome: Settlement): Promise<boolean> {
    const { term, seq } = placeOf(outcome)
    const settled = await this.#redis.run(
      SETTLE,
      [key('flow:group', ref), key('flow:events', ref), key('flow:dead', ref)],
      [
        owner,
        leaseMs,
        formatId(term, seq),
        'failed' in outcome ? 1 : 0,
        ref.group,
        this.#lifeMs,
        DEAD_KEPT,
        ...('dead' in outcome ? deadFields(outcome) : []),
      ],
    )
    return settled === 1
  }

  async renew(ref: GroupRef, owner: string, leaseMs: number): Promise<boolean> {
    return (await this.#redis.run(KEEP, [key('flow:group', ref)], [owner, leaseMs])) === 1
  }

  async release(ref: GroupRef, owner: string): Promise<void> {
    await this.#redis.run(KEEP, [key('flow:group', ref)], [owner, 0])
  }

  async dead(ref: GroupRef, limit: number): Promise<DeadEvent[]> {
    const entries = await this.#redis.call('xrange', key('flow:dead', ref), '-', '+', 'COUNT', limit)
    return Array.isArray(entries) ? entries.map(toDeadEvent) : []
  }
}

function deadFields({ event, attempts, error }: Extract<Settlement, { readonly dead: Cursor }>) {
  const { id, type, source, payload, timestamp } = event
  const fields = {
    id,
    event_type: type,
    source,
    payload: JSON.stringify(payload),
    timestamp,
    attempts,
    error,
  }
  return Object.entries(fields).flat()
}

/** An entry's own id says when the event was given up. */
function toDeadEvent(entry: unknown): DeadEvent {
  const [at, fields] = Array.isArray(entry) ? entry : []
  if (typeof at !== 'string' || !Array.isArray(fields))
    throw new SpillwayError('INTERNAL', 'A dead event is not one of ours')
  const [, id, , type, , source, , payload, , timestamp, , attempts, , error] = fields.map(String)
  return {
    id: id ?? '',
    type: type ?? '',
    source: source ?? '',
    payload: JSON.parse(payload ?? 'null') as unknown,
    timestamp: timestamp ?? '',
    attempts: Number(attempts),
    error: error ?? '',
    died_at: new Date(Number(at.split('-')[0])).toISOString(),
  }
}
