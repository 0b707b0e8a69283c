import { SpillwayError } from '../errors.js'
import type { Database, Queryable } from '../postgres/client.js'
import { sqlState } from '../postgres/errors.js'
import { type FlowRef, flowTag } from '../tenant.js'
import type { Beginnings, Start } from './beginnings.js'
import type { Durability } from './log.js'

/** As `spillway.leap()`: numbers that PostgreSQL passes over where Redis may have given them. */
export const LEAP = 1_000_000
/**
 * Numbers that may be given on Redis before PostgreSQL has heard of it; then publishing waits for the report. Half of
 * the leap, so that whoever goes on behind it always leaves a hole, by which every reader is told. What makes it
 * necessary: an instance that has lost PostgreSQL alone goes on publishing for as long as that lasts.
 */
const UNREPORTED = LEAP / 2

/** What this process remembers; more is asked for anew. */
const KNOWN = 50_000
/** Between two reports of how far fast flows have come on Redis. */
const REPORT_MS = 1000
/** Flows in one report. */
const REPORT_FLOWS = 5000

interface Kind {
  readonly ref: FlowRef
  durability: Durability
  /** The reign for which `base` was asked. */
  reign: number
  base: number
  /** Leave to begin there, which is not used yet. */
  begins: Start['begins']
  /** How far Redis has counted, as this process was told, and in which reign. */
  head: number
  headReign: number
  /** What PostgreSQL surely knows of that, or goes on from in any case: its leap begins there. */
  reported: number
}

/** Flows that are asked for together. */
interface Asking {
  readonly reign: number
  readonly refs: Map<string, FlowRef>
  readonly done: Promise<void>
}

/**
 * Which flows are fast, and how far Redis has counted them: what a store that takes over must not give again. Kept in
 * PostgreSQL, told a second late, so whoever goes on from it leaps over what may lie between.
 */
export class Kinds implements Beginnings {
  readonly #db: Pick<Database, 'scoped'>
  readonly #known = new Map<string, Kind>()
  readonly #moved = new Set<Kind>()
  #asking: Asking | undefined
  #timer: NodeJS.Timeout | undefined
  #reporting = false
  #closed = false

  constructor(db: Pick<Database, 'scoped'>) {
    this.#db = db
  }

  /** What is known of a flow here; undefined: ask. */
  durabilityOf(ref: FlowRef): Durability | undefined {
    return this.#known.get(flowTag(ref))?.durability
  }

  learn(ref: FlowRef, durability: Durability): void {
    const kind = this.#kind(ref)
    kind.durability = durability
  }

  /**
   * Where a fast flow begins in a reign on Redis. Makes the flow known first.
   * Errors: `DURABILITY_FIXED`; `STORE_UNAVAILABLE` for a flow that nobody here knows while PostgreSQL is away;
   * `TERM_UNKNOWN` (temporary) in a reign that is over, or for a flow of which PostgreSQL has not heard for too many
   * events.
   */
  start(ref: FlowRef, reign: number): Start | Promise<Start> {
    const kind = this.#known.get(flowTag(ref))
    if (kind?.durability !== 'fast' || kind.reign !== reign) return this.#register(ref, reign).then(startOf)
    if (kind.headReign === reign && kind.head - kind.reported > UNREPORTED) {
      this.#reportIn(0)
      const message = `PostgreSQL has not heard of the last ${UNREPORTED} events of this flow: who goes on from it could give their numbers again`
      throw new SpillwayError('TERM_UNKNOWN', message, { retryAfterMs: 1000 })
    }
    return startOf(kind)
  }

  unused(ref: FlowRef, reign: number, { begins }: Start): void {
    const kind = this.#known.get(flowTag(ref))
    if (kind?.reign === reign && kind.begins === '') kind.begins = begins
  }

  async again(ref: FlowRef, reign: number): Promise<void> {
    await this.#ask({ reign, refs: [ref], lost: true })
    this.#fast(ref)
  }

  counted(ref: FlowRef, head: number, reign: number): void {
    const kind = this.#known.get(flowTag(ref))
    if (!kind || kind.headReign > reign || (kind.headReign === reign && kind.head >= head)) return
    if (kind.headReign !== reign) kind.reported = kind.reign === reign ? kind.base : 0
    // Somebody let it begin again: PostgreSQL knows beyond what, and is asked.
    else if (head - kind.head > UNREPORTED) kind.reign = 0
    kind.head = head
    kind.headReign = reign
    this.#moved.add(kind)
    this.#reportIn(REPORT_MS)
  }

  /** Reports what is not reported yet within somebody's transaction, which is of all tenants. */
  async report(tx: Queryable, reign: number): Promise<void> {
    const kinds = [...this.#moved].filter(({ headReign }) => headReign === reign)
    for (let i = 0; i < kinds.length; i += REPORT_FLOWS)
      await send(tx, reign, kinds.slice(i, i + REPORT_FLOWS))
  }

  close(): void {
    this.#closed = true
    clearTimeout(this.#timer)
  }

  #reportIn(ms: number): void {
    if (this.#closed || this.#reporting) return
    if (ms === 0) clearTimeout(this.#timer)
    else if (this.#timer) return
    this.#timer = setTimeout(() => {
      this.#timer = undefined
      this.#reporting = true
      this.#reportAll()
        // PostgreSQL is away: what it does not hear of is leapt over, and beyond a bound waits.
        .catch(() => undefined)
        .finally(() => {
          this.#reporting = false
          if (this.#moved.size > 0) this.#reportIn(REPORT_MS)
        })
    }, ms)
    this.#timer.unref()
  }

  /** What was sent counts as reported once it is committed, and not what came meanwhile. */
  async #reportAll(): Promise<void> {
    const all = [...this.#moved]
    for (const reign of new Set(all.map(({ headReign }) => headReign))) {
      const kinds = all.filter(({ headReign }) => headReign === reign)
      for (let i = 0; i < kinds.length; i += REPORT_FLOWS)
        await this.#reportSome(reign, kinds.slice(i, i + REPORT_FLOWS))
    }
  }

  async #reportSome(reign: number, kinds: readonly Kind[]): Promise<void> {
    const heads = kinds.map(({ head }) => head)
    const taken = await this.#db.scoped('all', (tx) => send(tx, reign, kinds))
    for (const [i, kind] of kinds.entries()) {
      if (kind.headReign !== reign) continue
      // Of a reign that is over nothing is taken any more: whoever still publishes in it must come to its bound.
      if (taken) kind.reported = Math.max(kind.reported, heads[i] as number)
      if (!taken || kind.head === heads[i]) this.#moved.delete(kind)
    }
  }

  #kind(ref: FlowRef): Kind {
    const tag = flowTag(ref)
    let kind = this.#known.get(tag)
    if (!kind) {
      kind = {
        ref: { tenant: ref.tenant, flow: ref.flow },
        durability: 'durable',
        reign: 0,
        base: 0,
        begins: '',
        head: 0,
        headReign: 0,
        reported: 0,
      }
      this.#known.set(tag, kind)
      const [oldest] = this.#known.keys()
      if (this.#known.size > KNOWN && oldest !== undefined) this.#known.delete(oldest)
    }
    return kind
  }

  /** All flows that are asked for in one turn of the event loop go together. */
  async #register(ref: FlowRef, reign: number): Promise<Kind> {
    if (this.#asking?.reign !== reign) {
      const refs = new Map<string, FlowRef>()
      const turn = new Promise<void>((resolve) => setImmediate(resolve))
      const asking: Asking = { reign, refs, done: turn.then(() => this.#askAll(asking)) }
      this.#asking = asking
    }
    this.#asking.refs.set(flowTag(ref), ref)
    await this.#asking.done
    return this.#fast(ref)
  }

  #askAll(asking: Asking): Promise<void> {
    if (this.#asking === asking) this.#asking = undefined
    return this.#ask({ reign: asking.reign, refs: [...asking.refs.values()], lost: false })
  }

  #fast(ref: FlowRef): Kind {
    const kind = this.#known.get(flowTag(ref))
    if (kind?.durability !== 'fast') {
      throw new SpillwayError(
        'DURABILITY_FIXED',
        'The flow’s first publish made it durable: it cannot be published to as fast',
      )
    }
    return kind
  }

  async #ask({ reign, refs, lost }: { reign: number; refs: FlowRef[]; lost: boolean }): Promise<void> {
    const tenants = [...new Set(refs.map(({ tenant }) => tenant))]
    const rows = await this.#db
      .scoped(tenants, (tx) =>
        tx.query<{ place: number; durability: Durability; base: number; begins: Start['begins'] }>(
          'SELECT * FROM spillway.register_fast($1, $2, $3, $4)',
          [reign, refs.map(({ tenant }) => tenant), refs.map(({ flow }) => flow), lost],
        ),
      )
      .catch((cause: unknown) => {
        if (sqlState(cause) !== '55000') throw cause
        const message = `Term ${reign} is over: nobody may begin in it`
        throw new SpillwayError('TERM_UNKNOWN', message, { cause, retryAfterMs: 500 })
      })
    const left = new Set(refs)
    for (const { place, durability, base, begins } of rows) {
      left.delete(refs[Number(place) - 1] as FlowRef)
      const kind = this.#kind(refs[Number(place) - 1] as FlowRef)
      kind.durability = durability
      // Leave that was given to another question of this process is not taken back by the answer to this one.
      if (begins !== '' || kind.reign !== reign) kind.begins = begins
      kind.reign = reign
      kind.base = Number(base)
      if (kind.headReign === reign) kind.reported = Math.max(kind.reported, kind.base)
    }
    // Forgotten just now: it is new.
    if (left.size > 0) await this.#ask({ reign, refs: [...left], lost })
  }
}

/** What a publish needs to know; leave to begin is used up by it. */
function startOf(kind: Kind): Start {
  const { base, begins, head, headReign, reign } = kind
  kind.begins = ''
  return { base, begins, known: headReign === reign ? head : 0 }
}

/** Answers whether that reign still is. */
async function send(tx: Queryable, reign: number, kinds: readonly Kind[]): Promise<boolean> {
  const [row] = await tx.query<{ taken: boolean }>('SELECT spillway.report_heads($1, $2, $3, $4) AS taken', [
    reign,
    kinds.map(({ ref }) => ref.tenant),
    kinds.map(({ ref }) => ref.flow),
    kinds.map(({ head }) => head),
  ])
  return row?.taken ?? false
}
