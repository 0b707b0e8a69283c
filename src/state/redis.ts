import type { RedisClient, Reply } from '../redis/client.js'
import { key } from '../redis/keys.js'
import { loadScript } from '../redis/scripts.js'
import type { FlowRef } from '../tenant.js'
import { type FlowEntry, readEntries } from './redis-entries.js'
import {
  checkFlowQuery,
  type FlowActivity,
  type FlowMeta,
  type FlowQuery,
  type FlowState,
  type FlowStates,
  type FlowSummary,
  toStateRecord,
} from './states.js'

const SET = loadScript(import.meta.url, 'state-set.lua')
const CLEAR = loadScript(import.meta.url, 'state-clear.lua')
const TOUCH = loadScript(import.meta.url, 'state-touch.lua')
const ADD = loadScript(import.meta.url, 'list-add.lua')

/** Flows in one list; the least active ones leave it, and are found by their names alone. */
const LISTED = 10_000
/** Entries of a list looked at together. */
const LOOK = 200

/**
 * States of flows where Redis is the only store: they stay as long as their flow is not silent for too long. A flow's
 * own keys change together; the lists that it is in follow, and are not believed: an entry is what the flow says.
 */
export class RedisStates implements FlowStates {
  readonly #redis: RedisClient
  /** ms of silence after which a flow is forgotten. */
  readonly #lifeMs: number

  constructor(redis: RedisClient, lifeMs: number) {
    this.#redis = redis
    this.#lifeMs = lifeMs
  }

  async set(ref: FlowRef, state: FlowState): Promise<FlowMeta> {
    const { text, status, phase, progress, engagement } = toStateRecord(state)
    const fields = Object.entries({ status, phase, progress, engagement }).filter(
      ([, value]) => value !== null,
    )
    const reply = await this.#redis.run(SET, keysOf(ref), [
      text,
      this.#lifeMs,
      ...fields.flatMap(([name, value]) => [name, String(value)]),
    ])
    const { at, before } = moment(reply)
    await this.#list(ref, at, { before, engagement })
    return { status, phase, progress, updated_at: isoOf(at) }
  }

  async get(ref: FlowRef): Promise<FlowState | null> {
    const text = await this.#redis.call('get', key('flow:state', ref))
    return typeof text === 'string' ? (JSON.parse(text) as FlowState) : null
  }

  async clear(ref: FlowRef): Promise<void> {
    const reply = await this.#redis.run(CLEAR, keysOf(ref), [this.#lifeMs])
    if (Array.isArray(reply) && reply.length === 0) return
    const { at, before } = moment(reply)
    await this.#list(ref, at, { before, engagement: null })
  }

  async meta(ref: FlowRef): Promise<FlowMeta | null> {
    const [entry] = await readEntries(this.#redis, ref.tenant, [ref.flow])
    if (!entry?.status) return null
    const { status, phase, progress, updated_at } = entry
    return { status, phase, progress, updated_at }
  }

  async active(flows: readonly FlowActivity[]): Promise<FlowRef[]> {
    const lists = new Map<string, (string | number)[]>()
    const add = (list: string, at: number, flow: string) => {
      const entries = lists.get(list) ?? []
      entries.push(at, flow)
      lists.set(list, entries)
    }
    await Promise.all(
      flows.map(async ({ tenant, flow, at }) => {
        const engagement = await this.#redis.run(TOUCH, keysOf({ tenant, flow }), [at * 1000, this.#lifeMs])
        add(key('recent:flows', { tenant }), at * 1000, flow)
        if (typeof engagement === 'string' && engagement !== '')
          add(key('engagement', { tenant, engagement }), at * 1000, flow)
      }),
    )
    await Promise.all(
      [...lists].map(([list, entries]) => this.#redis.run(ADD, [list], [LISTED, this.#lifeMs, ...entries])),
    )
    return flows.map(({ tenant, flow }) => ({ tenant, flow }))
  }

  async list(tenant: string, query: FlowQuery): Promise<FlowSummary[]> {
    const { engagement, status, limit } = checkFlowQuery(query)
    const list =
      engagement === null ? key('recent:flows', { tenant }) : key('engagement', { tenant, engagement })
    const found = new Map<string, FlowSummary>()
    for (let from = 0; found.size < limit; from += LOOK) {
      const page = await this.#page(list, from)
      const entries = await readEntries(this.#redis, tenant, [...page.keys()])
      for (const entry of entries) {
        const fits = engagement === null || entry.engagement === engagement
        const summary = summaryOf(entry, page.get(entry.flow) ?? 0)
        // What moved up meanwhile comes a second time.
        if (fits && (status === null || summary.status === status) && found.size < limit)
          found.set(entry.flow, found.get(entry.flow) ?? summary)
      }
      if (page.size < LOOK) break
    }
    return [...found.values()]
  }

  /** Names of flows and when they were active, the last ones first. */
  async #page(list: string, from: number): Promise<Map<string, number>> {
    const reply = await this.#redis.call('zrevrange', list, from, from + LOOK - 1, 'WITHSCORES')
    const words = Array.isArray(reply) ? reply.map(String) : []
    const flows = new Map<string, number>()
    for (let i = 0; i < words.length; i += 2) flows.set(words[i] as string, Number(words[i + 1]))
    return flows
  }

  /** Puts a flow where it belongs; what fails here is made good by the next change, or publish. */
  async #list(
    { tenant, flow }: FlowRef,
    at: number,
    { before, engagement }: { readonly before: string; readonly engagement: string | null },
  ): Promise<void> {
    const entry = [LISTED, this.#lifeMs, at, flow]
    const work = [this.#redis.run(ADD, [key('recent:flows', { tenant })], entry)]
    if (engagement !== null)
      work.push(this.#redis.run(ADD, [key('engagement', { tenant, engagement })], entry))
    if (before !== '' && before !== engagement)
      work.push(this.#redis.call('zrem', key('engagement', { tenant, engagement: before }), flow))
    await Promise.all(work)
  }
}

function keysOf(ref: FlowRef): string[] {
  return [key('flow:state', ref), key('flow:meta', ref)]
}

function moment(reply: Reply): { at: number; before: string } {
  const [at, before] = Array.isArray(reply) ? reply : []
  return { at: Number(at), before: String(before) }
}

function summaryOf(entry: FlowEntry, activeAt: number): FlowSummary {
  return { ...entry, status: entry.status ?? 'pending', active_at: isoOf(activeAt) }
}

function isoOf(microseconds: number): string {
  return new Date(microseconds / 1000).toISOString()
}
