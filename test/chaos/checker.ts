/** An event as somebody saw it: its id in the log, and the key that its publisher gave it (`publisher:n`). */
export interface Sighting {
  readonly id: string
  readonly key: string
}

export interface GapSighting {
  /** First and last missing id, both inside. */
  readonly gap: { readonly from: string; readonly to: string }
}

/** What one reader saw of one flow, over all its connections, from `after` on. */
export interface Reading {
  readonly reader: string
  readonly flow: string
  /** `0`, or the id after which it began. */
  readonly after: string
  readonly seen: readonly (Sighting | GapSighting)[]
}

/** One run as seen from outside. */
export interface Run {
  /** Keys that were sent at least once, by flow. */
  readonly attempted: ReadonlyMap<string, ReadonlySet<string>>
  /** Events whose publisher got an answer, by flow. */
  readonly acknowledged: ReadonlyMap<string, readonly Sighting[]>
  /** The log at the end, by flow, as its pages gave it. */
  readonly history: ReadonlyMap<string, readonly Sighting[]>
  readonly readings: readonly Reading[]
}

export type Fault =
  /** Acknowledged, and not in the log. */
  | 'lost'
  /** Twice in the log, or seen twice by a reader. */
  | 'duplicated'
  /** Not in the order of the log, or of its publisher. */
  | 'reordered'
  /** In the log, and passed over by a reader without a gap. */
  | 'unsignalled'
  /** In the log under another id than the one that was acknowledged, or with a hole in its numbers. */
  | 'renumbered'
  /** Nobody published it. */
  | 'invented'

export interface Problem {
  readonly fault: Fault
  readonly flow: string
  readonly text: string
}

/** Everything that is wrong with a run; nothing, if the promises held. */
export function check(run: Run): Problem[] {
  const problems: Problem[] = []
  for (const [flow, log] of run.history)
    problems.push(...checkLog(flow, log, run.attempted.get(flow) ?? new Set()))
  for (const [flow, acknowledged] of run.acknowledged) {
    problems.push(...checkAcknowledged(flow, acknowledged, run.history.get(flow) ?? []))
  }
  for (const reading of run.readings)
    problems.push(...checkReading(reading, run.history.get(reading.flow) ?? []))
  return problems
}

function checkLog(flow: string, log: readonly Sighting[], attempted: ReadonlySet<string>): Problem[] {
  const problems: Problem[] = []
  const keys = new Set<string>()
  const newest = new Map<string, number>()
  let before: Sighting | undefined
  for (const event of log) {
    const { id, key } = event
    if (!attempted.has(key)) problems.push({ fault: 'invented', flow, text: `${id} (${key})` })
    if (keys.has(key))
      problems.push({ fault: 'duplicated', flow, text: `${key} is in the log twice, again at ${id}` })
    keys.add(key)
    const step = before === undefined ? 1 : seqOf(id) - seqOf(before.id)
    if (step <= 0) problems.push({ fault: 'reordered', flow, text: `${id} stands after ${before?.id}` })
    if (step > 1) problems.push({ fault: 'renumbered', flow, text: `a hole between ${before?.id} and ${id}` })
    before = event
    const [publisher = '', n] = key.split(':')
    const last = newest.get(publisher) ?? -1
    if (Number(n) < last)
      problems.push({ fault: 'reordered', flow, text: `${key} stands after ${publisher}:${last}` })
    newest.set(publisher, Math.max(last, Number(n)))
  }
  return problems
}

function checkAcknowledged(
  flow: string,
  acknowledged: readonly Sighting[],
  log: readonly Sighting[],
): Problem[] {
  const idOf = new Map(log.map(({ key, id }) => [key, id]))
  return acknowledged.flatMap(({ key, id }): Problem[] => {
    const stored = idOf.get(key)
    if (stored === undefined) return [{ fault: 'lost', flow, text: `${key}, acknowledged as ${id}` }]
    if (stored !== id)
      return [{ fault: 'renumbered', flow, text: `${key}, acknowledged as ${id}, is ${stored}` }]
    return []
  })
}

function checkReading({ reader, flow, after, seen }: Reading, log: readonly Sighting[]): Problem[] {
  const problems: Problem[] = []
  const say = (fault: Fault, text: string) => problems.push({ fault, flow, text: `${reader}: ${text}` })
  const keyOf = new Map(log.map(({ id, key }) => [id, key]))
  const ids = new Set<string>()
  let reached = seqOf(after)
  for (const item of seen) {
    if ('gap' in item) {
      reached = Math.max(reached, seqOf(item.gap.to))
      continue
    }
    const { id, key } = item
    if (keyOf.get(id) !== key) say('invented', `saw ${key} as ${id}`)
    if (ids.has(id)) {
      say('duplicated', `saw ${id} twice`)
      continue
    }
    ids.add(id)
    const seq = seqOf(id)
    if (seq <= reached) say('reordered', `saw ${id} after ${reached}`)
    if (seq > reached + 1) say('unsignalled', `nothing between ${reached} and ${seq}`)
    reached = Math.max(reached, seq)
  }
  const head = seqOf(log.at(-1)?.id ?? '0')
  if (reached < head) say('unsignalled', `nothing after ${reached}, the log ends at ${head}`)
  return problems
}

function seqOf(id: string): number {
  return Number(id.slice(id.indexOf('-') + 1))
}
