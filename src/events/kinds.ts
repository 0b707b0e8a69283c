import { SpillwayError } from '../errors.js'
import type { Database, Queryable } from '../postgres/client.js'
import { sqlState } from '../postgres/errors.js'
import { type FlowRef, flowTag } from '../tenant.js'
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
export class Kinds {
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
   * Where a fast flow begins in a reign on Redis that knows nothing of it. Makes the flow known first.
   * Errors: `DURABILITY_FIXED`; `STORE_UNAVAILABLE` for a flow that nobody here knows while PostgreSQL is away;
   * `TERM_UNKNOWN` (temporary) in a reign that is over, or for a flow of which PostgreSQL has not heard for too many
   * events.
   */
  base(ref: FlowRef, reign: number): number | Promise<number> {
    const kind = this.#known.get(flowTag(ref))
    if (kind?.durability !== 'fast' || kind.reign !== reign) return this.#register(ref, reign)
    if (kind.headReign === reign && kind.head - kind.reported > UNREPORTED) {
      this.#reportIn(0)
      const message = `PostgreSQL has not heard of the last ${UNREPORTED} events of this flow: who goes on from it could give their numbers again`
      throw new SpillwayError('TERM_UNKNOWN', message, { retryAfterMs: 1000 })
    }
    return kind.base
  }

  /** Redis has counted this far. */
  counted(ref: FlowRef, head: number, reign: number): void {
    const kind = this.#known.get(flowTag(ref))
    if (!kind || kind.headReign > reign || (kind.headReign === reign && kind.head >= head)) return
    if (kind.headReign !== reign) kind.reported = kind.reign === reign ? kind.base : 0
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
  async #register(ref: FlowRef, reign: number): Promise<number> {
    if (this.#asking?.reign !== reign) {
      const refs = new Map<string, FlowRef>()
      const turn = new Promise<void>((resolve) => setImmediate(resolve))
      const asking: Asking = { reign, refs, done: turn.then(() => this.#ask(asking)) }
      this.#asking = asking
    }
    this.#asking.refs.set(flowTag(ref), ref)
    await this.#asking.done
    const kind = this.#known.get(flowTag(ref))
    if (kind?.durability !== 'fast') {
      throw new SpillwayError(
        'DURABILITY_FIXED',
        'The flow’s first publish made it durable: it cannot be published to as fast',
      )
    }
    return kind.base
  }

  async #ask(asking: Asking): Promise<void> {
    if (this.#asking === asking) this.#asking = undefined
    const refs = [...asking.refs.values()]
    const tenants = [...new Set(refs.map(({ tenant }) => tenant))]
    const rows = await this.#db
      .scoped(tenants, (tx) =>
        tx.query<{ place: number; durability: Durability; base: number }>(
          'SELECT * FROM spillway.register_fast($1, $2, $3)',
          [asking.reign, refs.map(({ tenant }) => tenant), refs.map(({ flow }) => flow)],
        ),
      )
      .catch((cause: unknown) => {
        if (sqlState(cause) !== '55000') throw cause
        const message = `Term ${asking.reign} is over: nobody may begin in it`
        throw new SpillwayError('TERM_UNKNOWN', message, { cause, retryAfterMs: 500 })
      })
    for (const { place, durability, base } of rows) {
      const kind = this.#kind(refs[Number(place) - 1] as FlowRef)
      kind.durability = durability
      kind.reign = asking.reign
      kind.base = Number(base)
    }
  }
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
