/** What a process has written down of a lease; times in ns of the clock that all processes share. */
export interface Entry {
  readonly what: 'got' | 'held' | 'end' | 'refused' | 'error'
  readonly lock: string
  readonly fence: number
  /** Then it counted on it, or ceased to. */
  readonly at: bigint
  /** Until when it counted on it, unless it ends it or renews it. */
  readonly until: bigint
  readonly error?: string
}

/** A write that the guarded table has taken. Order: as it took them. */
export interface Write {
  readonly lock: string
  readonly fence: number
}

/** When a holder has counted on a lock. */
interface Holding {
  readonly lock: string
  readonly fence: number
  readonly from: bigint
  readonly to: bigint
}

/** Every way in which the promise was broken, in words. */
export function checkLocks(logs: readonly (readonly Entry[])[], writes: readonly Write[]): string[] {
  const all = logs.flatMap((entries) => holdingsOf(entries))
  const problems = logs.flat().flatMap(({ what, error }) => (what === 'error' ? [`an error: ${error}`] : []))
  for (const [lock, holdings] of byLock(all)) {
    const inOrder = [...holdings].sort((a, b) => (a.from < b.from ? -1 : 1))
    let latest: Holding | undefined
    for (const holding of inOrder) {
      if (latest && holding.from < latest.to)
        problems.push(
          `two holders of ${lock}: fence ${latest.fence} counted on it for ${ms(latest.to - holding.from)} ms more when fence ${holding.fence} did`,
        )
      if (latest && holding.fence <= latest.fence)
        problems.push(`a fence of ${lock} that did not grow: ${holding.fence} behind ${latest.fence}`)
      if (!latest || holding.to > latest.to) latest = holding
    }
  }
  for (const [lock, own] of byLock(writes)) {
    let greatest = 0
    for (const { fence } of own) {
      if (fence < greatest) problems.push(`an old holder of ${lock} wrote: ${fence} behind ${greatest}`)
      greatest = Math.max(greatest, fence)
    }
  }
  return problems
}

export function grantsIn(logs: readonly (readonly Entry[])[]): number {
  return logs.flat().filter(({ what }) => what === 'got').length
}

/** One a lease: from when its holder first counted on it to its end, or to the last deadline that it wrote down. */
function holdingsOf(entries: readonly Entry[]): Holding[] {
  const holdings: Holding[] = []
  const open = new Map<string, { lock: string; fence: number; from: bigint; to: bigint }>()
  for (const { what, lock, fence, at, until } of entries) {
    const id = `${lock} ${fence}`
    const own = open.get(id)
    if (what === 'got') {
      const holding = { lock, fence, from: at, to: until }
      open.set(id, holding)
      holdings.push(holding)
    } else if (own && what === 'held' && until > own.to) own.to = until
    else if (own && what === 'end' && at < own.to) own.to = at
  }
  return holdings
}

function byLock<T extends { readonly lock: string }>(all: readonly T[]): Map<string, T[]> {
  const found = new Map<string, T[]>()
  for (const one of all) found.set(one.lock, [...(found.get(one.lock) ?? []), one])
  return found
}

function ms(ns: bigint): string {
  return (Number(ns) / 1e6).toFixed(1)
}
