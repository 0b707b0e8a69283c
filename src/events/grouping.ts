import type { FlowRef } from '../tenant.js'
import type { Draft } from './log.js'

/** The drafts of a batch as spillway.append takes them: one element a flow, one element an event. */
export interface Grouped {
  readonly flows: readonly FlowRef[]
  readonly counts: readonly number[]
  /** The durability that the first draft of a flow asked for. */
  readonly wanted: readonly (string | null)[]
  /** Place of each event's flow, from 1. */
  readonly flowAt: readonly number[]
  /** 1, 2 … of each event within its flow; 0 if its key stands earlier in the batch. */
  readonly rank: readonly number[]
}

/** Groups drafts by flow, flows in the order in which PostgreSQL's "C" collation sorts them. */
export function groupDrafts(drafts: readonly Draft[]): Grouped {
  const byTenant = new Map<string, Map<string, Group>>()
  const groups: Group[] = []
  const groupOf = drafts.map((draft) => {
    let flows = byTenant.get(draft.tenant)
    if (!flows) {
      flows = new Map()
      byTenant.set(draft.tenant, flows)
    }
    let group = flows.get(draft.flow)
    if (!group) {
      group = { tenant: draft.tenant, flow: draft.flow, place: 0, count: 0, wanted: null, keys: undefined }
      flows.set(draft.flow, group)
      groups.push(group)
    }
    group.wanted ??= draft.durability
    group.count += 1
    return { group, rank: isFirstOfKey(group, draft.key) ? group.count : 0 }
  })
  groups.sort((a, b) => compareBytes(a.tenant, b.tenant) || compareBytes(a.flow, b.flow))
  groups.forEach((group, index) => {
    group.place = index + 1
  })
  return {
    flows: groups,
    counts: groups.map((group) => group.count),
    wanted: groups.map((group) => group.wanted),
    flowAt: groupOf.map(({ group }) => group.place),
    rank: groupOf.map(({ rank }) => rank),
  }
}

interface Group extends FlowRef {
  place: number
  count: number
  wanted: string | null
  keys: Set<string> | undefined
}

function isFirstOfKey(group: Group, key: string | null): boolean {
  if (key === null) return true
  group.keys ??= new Set()
  const { size } = group.keys
  return group.keys.add(key).size > size
}

/** Compares as the UTF-8 bytes do. JavaScript's own order differs where surrogates meet U+E000 and above. */
export function compareBytes(a: string, b: string): number {
  const length = Math.min(a.length, b.length)
  for (let i = 0; i < length; i++) {
    const x = a.charCodeAt(i)
    const y = b.charCodeAt(i)
    if (x !== y) return byteRank(x) - byteRank(y)
  }
  return a.length - b.length
}

function byteRank(unit: number): number {
  if (unit < 0xd800) return unit
  return unit < 0xe000 ? unit + 0x2000 : unit - 0x800
}
