import { randomUUID } from 'node:crypto'
import type { Beginnings } from '../../src/events/beginnings.js'
import type { Batch, Draft, LogReader, Outcome, Retention, StoredEvent } from '../../src/events/log.js'
import type { FlowRef } from '../../src/tenant.js'

export function draft(ref: FlowRef, over: Partial<Draft> = {}): Draft {
  return {
    tenant: ref.tenant,
    flow: ref.flow,
    type: 'tick',
    source: 'test',
    payload: '{}',
    key: null,
    durability: null,
    ...over,
  }
}

export function newBatch(): Batch {
  return { token: randomUUID(), repeat: false }
}

/** `count` drafts of one flow, numbered in their payloads from `from`. */
export function numbered(ref: FlowRef, count: number, from = 1): Draft[] {
  return Array.from({ length: count }, (_, i) => draft(ref, { payload: String(from + i) }))
}

export function eventOf(outcome: Outcome | undefined): StoredEvent {
  if (!outcome || !('event' in outcome)) throw new Error('the draft was refused', { cause: outcome?.error })
  return outcome.event
}

export function seqsOf(outcomes: readonly Outcome[]): number[] {
  return outcomes.map((outcome) => eventOf(outcome).seq)
}

/** The whole log of a flow, page by page. */
export async function readAll(log: LogReader, ref: FlowRef, limit = 1000): Promise<StoredEvent[]> {
  const events: StoredEvent[] = []
  for (let after = 0; ; ) {
    const page = await log.read(ref, { after, order: 'asc', limit })
    const last = page.events.at(-1)
    if (!last) return events
    events.push(...page.events)
    after = last.seq
  }
}

/** Where everybody may let numbers begin, behind that. */
export function beginAt(base: () => number | Promise<number>): Beginnings {
  const startAt = (base: number) => ({ base, known: 0, begins: 'first' }) as const
  return {
    start: () => {
      const found = base()
      return typeof found === 'number' ? startAt(found) : found.then(startAt)
    },
    unused: () => undefined,
    again: async () => undefined,
    counted: () => undefined,
  }
}

/** A retention that keeps everything, but for what is named. */
export function keep(over: Partial<Retention>): Retention {
  const forever = 1e12
  return { maxEvents: forever, maxAgeMs: forever, flowAgeMs: forever, ...over }
}

let flows = 0

/** A flow that no other test of this file touches. */
export function someFlow(tenant = 'acme'): FlowRef {
  return { tenant, flow: `flow-${++flows}` }
}
