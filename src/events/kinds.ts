import { SpillwayError } from '../errors.js'
import type { Database, Queryable } from '../postgres/client.js'
import { type FlowRef, flowTag } from '../tenant.js'
import type { Durability } from './log.js'

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
  readonly #db: Database
  readonly #known = new Map<string, Kind>()
  readonly #moved = new Set<Kind>()
  #asking: Asking | undefined
  #timer: NodeJS.Timeout | undefined

  constructor(db: Database) {
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
   * Errors: `DURABILITY_FIXED`; `STORE_UNAVAILABLE` for a flow that nobody here knows while PostgreSQL is away.
   */
  base(ref: FlowRef, reign: number): number | Promise<number> {
    const kind = this.#known.get(flowTag(ref))
    if (kind?.durability === 'fast' && kind.reign === reign) return kind.base
    return this.#register(ref, reign)
  }

  /** Redis has counted this far. */
  counted(ref: FlowRef, head: number, reign: number): void {
    const kind = this.#known.get(flowTag(ref))
    if (!kind || (kind.headReign === reign && kind.head >= head)) return
    kind.head = head
    kind.headReign = reign
    this.#moved.add(kind)
    this.#timer ??= setTimeout(() => void this.#report(), REPORT_MS).unref()
  }

  /** Reports within somebody's transaction, which is of all tenants. */
  async reportIn(tx: Queryable, reign: number): Promise<void> {
    const kinds = [...this.#moved].filter(({ headReign }) => headReign === reign)
    for (let i = 0; i < kinds.length; i += REPORT_FLOWS) {
      const part = kinds.slice(i, i + REPORT_FLOWS)
      await tx.query('SELECT spillway.report_heads($1, $2, $3, $4)', [
        reign,
        part.map(({ ref }) => ref.tenant),
        part.map(({ ref }) => ref.flow),
        part.map(({ head }) => head),
      ])
      for (const kind of part) this.#moved.delete(kind)
    }
  }

  close(): void {
    clearTimeout(this.#timer)
  }

  async #report(): Promise<void> {
    this.#timer = undefined
    const reigns = new Set([...this.#moved].map(({ headReign }) => headReign))
    try {
      for (const reign of reigns) await this.#db.scoped('all', (tx) => this.reportIn(tx, reign))
    } catch {
      // PostgreSQL is away: what it does not hear of is leapt over. The next report is a second later.
    }
    if (this.#moved.size > 0) this.#timer ??= setTimeout(() => void this.#report(), REPORT_MS).unref()
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
    const rows = await this.#db.scoped(tenants, (tx) =>
      tx.query<{ place: number; durability: Durability; base: number }>(
        'SELECT * FROM spillway.register_fast($1, $2, $3)',
        [asking.reign, refs.map(({ tenant }) => tenant), refs.map(({ flow }) => flow)],
      ),
    )
    for (const { place, durability, base } of rows) {
      const kind = this.#kind(refs[Number(place) - 1] as FlowRef)
      kind.durability = durability
      kind.reign = asking.reign
      kind.base = Number(base)
    }
  }
}
