/** When something was seen (ms since the epoch), and at which address: for whoever looks for its cause. */
export interface Circumstances {
  readonly at?: number
  readonly by?: string
}

/** An event as somebody saw it: its id in the log, and the key that its publisher gave it (`publisher:n`). */
export interface Sighting extends Circumstances {
  readonly id: string
  readonly key: string
}

export interface GapSighting extends Circumstances {
  /** First and last missing id, both inside. */
  readonly gap: { readonly from: string; readonly to: string; readonly reason: string }
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
  /** Flows whose events a store may lose if it says so; the others are durable. */
  readonly fast?: ReadonlySet<string>
  /** Keys that were sent again because no answer came: in a fast flow they may stand twice. */
  readonly repeated?: ReadonlySet<string>
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
  /** A gap over events that the log has, or one that says a turn where the term is the same. */
  | 'pretended'
  /** One id, two events: the number of a lost event was given again. */
  | 'reused'

export interface Problem {
  readonly fault: Fault
  readonly flow: string
  readonly text: string
}

/** Everything that is wrong with a run; nothing, if the promises held. */
export function check(run: Run): Problem[] {
  const problems: Problem[] = []
  const flows = new Set([...run.history.keys(), ...run.acknowledged.keys()])
  for (const flow of flows) {
    const log = run.history.get(flow) ?? []
    const acknowledged = run.acknowledged.get(flow) ?? []
    const attempted = run.attempted.get(flow) ?? new Set<string>()
    const fast = run.fast?.has(flow) ?? false
    const rules: Rules = { fast, repeated: (fast && run.repeated) || new Set(), attempted }
    const readings = run.readings.filter((reading) => reading.flow === flow)
    problems.push(...checkLog(flow, log, rules))
    problems.push(...checkAcknowledged(flow, acknowledged, log, rules))
    for (const reading of readings) problems.push(...checkReading(reading, log, rules))
    if (fast) problems.push(...checkNames(flow, [log, acknowledged, ...readings.map(({ seen }) => seen)]))
  }
  return problems
}

/** What a flow's durability allows. */
interface Rules {
  readonly fast: boolean
  readonly repeated: ReadonlySet<string>
  readonly attempted: ReadonlySet<string>
}

/** A fast event may be seen and then lost, but its id never names another. */
function checkNames(flow: string, views: readonly (readonly (Sighting | GapSighting)[])[]): Problem[] {
  const keyOf = new Map<string, string>()
  const reused = new Set<string>()
  for (const item of views.flat()) {
    if ('gap' in item) continue
    const first = keyOf.get(item.id)
    if (first !== undefined && first !== item.key) reused.add(`${item.id} is ${first} and ${item.key}`)
    keyOf.set(item.id, first ?? item.key)
  }
  return [...reused].map((text) => ({ fault: 'reused', flow, text }))
}

function checkLog(flow: string, log: readonly Sighting[], rules: Rules): Problem[] {
  const problems: Problem[] = []
  const keys = new Set<string>()
  const newest = new Map<string, number>()
  let before: Sighting | undefined
  for (const event of log) {
    const { id, key } = event
    if (!rules.attempted.has(key)) problems.push({ fault: 'invented', flow, text: `${id} (${key})` })
    if (keys.has(key) && !rules.repeated.has(key))
      problems.push({ fault: 'duplicated', flow, text: `${key} is in the log twice, again at ${id}` })
    keys.add(key)
    const step = before === undefined ? 1 : seqOf(id) - seqOf(before.id)
    if (step <= 0 || (before && termOf(id) < termOf(before.id)))
      problems.push({ fault: 'reordered', flow, text: `${id} stands after ${before?.id}` })
    // What a fast flow lost leaves a hole, of which each reader must have been told.
    if (step > 1 && !rules.fast)
      problems.push({ fault: 'renumbered', flow, text: `a hole between ${before?.id} and ${id}` })
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
  { fast, repeated }: Rules,
): Problem[] {
  const idOf = new Map(log.map(({ key, id }) => [key, id]))
  const ids = new Set(log.map(({ id }) => id))
  const head = seqOf(log.at(-1)?.id ?? '0')
  return acknowledged.flatMap(({ key, id }): Problem[] => {
    const stored = idOf.get(key)
    if (ids.has(id) && repeated.has(key)) return []
    // Below the head a lost fast event is a matter of its readers' gaps; beyond it nothing can tell of it.
    if (fast && seqOf(id) < head && (stored === undefined || repeated.has(key))) return []
    if (stored === undefined) return [{ fault: 'lost', flow, text: `${key}, acknowledged as ${id}` }]
    if (stored !== id)
      return [{ fault: 'renumbered', flow, text: `${key}, acknowledged as ${id}, is ${stored}` }]
    return []
  })
}

function checkReading(
  { reader, flow, after, seen }: Reading,
  log: readonly Sighting[],
  { fast, repeated, attempted }: Rules,
): Problem[] {
  const problems: Problem[] = []
  const say = (fault: Fault, text: string) => problems.push({ fault, flow, text: `${reader}: ${text}` })
  const keyOf = new Map(log.map(({ id, key }) => [id, key]))
  const ids = new Set<string>()
  const keys = new Set<string>()
  let reached = seqOf(after)
  let term = termOf(after)
  let turned = false
  for (const item of seen) {
    if ('gap' in item) {
      const { from, to, reason } = item.gap
      if (seqOf(from) > reached + 1) say('unsignalled', `nothing between ${reached} and the gap from ${from}`)
      // A turn's gap may cover events that come back with the old store.
      const has = log.some(({ id }) => seqOf(id) >= seqOf(from) && seqOf(id) <= seqOf(to))
      if (has && !(fast && reason !== 'trimmed'))
        say('pretended', `${reason} ${from} to ${to}, which are kept`)
      turned = turned || (reason === 'turn' && ids.size > 0)
      reached = Math.max(reached, seqOf(to))
      continue
    }
    const { id, key } = item
    if (fast ? !attempted.has(key) : keyOf.get(id) !== key) say('invented', `saw ${key} as ${id}`)
    if (ids.has(id)) {
      say('duplicated', `saw ${id} twice`)
      continue
    }
    ids.add(id)
    if (keys.has(key) && !repeated.has(key)) say('duplicated', `saw ${key} again as ${id}`)
    keys.add(key)
    if (turned && termOf(id) <= term) say('pretended', `a turn before ${id}, in the same term`)
    turned = false
    const seq = seqOf(id)
    if (seq <= reached || termOf(id) < term) say('reordered', `saw ${id} after ${reached}`)
    if (seq > reached + 1) say('unsignalled', `nothing between ${reached} and ${seq}`)
    reached = Math.max(reached, seq)
    term = Math.max(term, termOf(id))
  }
  const head = seqOf(log.at(-1)?.id ?? '0')
  if (reached < head) say('unsignalled', `nothing after ${reached}, the log ends at ${head}`)
  return problems
}

function seqOf(id: string): number {
  return Number(id.slice(id.indexOf('-') + 1))
}

function termOf(id: string): number {
  return id.includes('-') ? Number(id.slice(0, id.indexOf('-'))) : 0
}
