import type { RedisClient, Reply } from '../redis/client.js'
import { key } from '../redis/keys.js'
import { type FlowStatus, type FlowSummary, STATUSES } from './states.js'

/** A flow as its own keys have it; `status` is null while it has no state. */
export interface FlowEntry extends Omit<FlowSummary, 'active_at' | 'status'> {
  readonly status: FlowStatus | null
}

/** What flows say of themselves, in their order, without those that nobody knows any more: two commands a flow. */
export async function readEntries(
  redis: RedisClient,
  tenant: string,
  flows: readonly string[],
): Promise<FlowEntry[]> {
  const found = await Promise.all(
    flows.map((flow) =>
      Promise.all([
        redis.call('hmget', key('flow:meta', { tenant, flow }), ...META),
        redis.call('hmget', key('flow:log', { tenant, flow }), 'term', 'head'),
      ]),
    ),
  )
  return found.flatMap(([meta, log], i) => entryOf(flows[i] as string, meta, log) ?? [])
}

const META = ['status', 'phase', 'progress', 'updated_at', 'engagement', 'created_at'] as const

function entryOf(flow: string, meta: Reply, log: Reply): FlowEntry | undefined {
  const [status, phase = null, progress, updatedAt, engagement = null, createdAt] = texts(meta)
  const [term, head] = texts(log)
  if (createdAt === undefined || updatedAt === undefined) return undefined
  return {
    flow,
    status: STATUSES.find((known) => known === status) ?? null,
    phase,
    progress: progress === undefined ? null : Number(progress),
    engagement,
    updated_at: isoOf(updatedAt),
    created_at: isoOf(createdAt),
    durability: head === undefined ? null : 'fast',
    last_event_id: head === undefined ? null : `${term}-${head}`,
  }
}

function texts(reply: Reply): (string | undefined)[] {
  return Array.isArray(reply) ? reply.map((text) => (typeof text === 'string' ? text : undefined)) : []
}

function isoOf(microseconds: string): string {
  return new Date(Number(microseconds) / 1000).toISOString()
}
