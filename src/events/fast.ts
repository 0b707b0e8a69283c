import { SpillwayError } from '../errors.js'
import type { FlowRef } from '../tenant.js'
import type { Reign, Term } from '../term/term.js'
import type { Beginnings } from './beginnings.js'
import type { Batch, Draft, EventLog, Outcome, Page, Range, Since } from './log.js'
import type { PostgresLog } from './postgres.js'
import { mayBeStored, type RedisLog } from './redis.js'

/** Batches of unknown outcome that are remembered; each is repeated for some seconds at most. */
const UNSURE = 10_000

export interface FastParts {
  readonly term: Term
  /** The stores that may reign. */
  readonly redis: RedisLog | undefined
  readonly postgres: PostgresLog | undefined
  /** Told how far Redis has counted. */
  readonly beginnings: Pick<Beginnings, 'counted'>
}

/** Fast flows, on the store that reigns. */
export class FastLog implements EventLog {
  readonly #term: Term
  readonly #redis: RedisLog | undefined
  readonly #postgres: PostgresLog | undefined
  readonly #beginnings: Pick<Beginnings, 'counted'>
  /** Batches whose answer was lost, and the reign in which they were sent. */
  readonly #unsure = new Map<string, number>()

  constructor(parts: FastParts) {
    this.#term = parts.term
    this.#redis = parts.redis
    this.#postgres = parts.postgres
    this.#beginnings = parts.beginnings
  }

  append(drafts: readonly Draft[], batch: Batch): Promise<readonly Outcome[]> {
    // A later turn signals what is lost, so events go on while PostgreSQL is away.
    return this.#term.operate((reign) => this.#appendIn(reign, drafts, batch), { goOn: true })
  }

  async #appendIn(reign: Reign, drafts: readonly Draft[], batch: Batch): Promise<readonly Outcome[]> {
    const sentIn = this.#unsure.get(batch.token)
    if (sentIn !== undefined && sentIn !== reign.number) {
      // The store of that reign may have it, and nobody can ask: stored once more it might be there twice.
      this.#unsure.delete(batch.token)
      throw new SpillwayError(
        'OUTCOME_UNKNOWN',
        `Term ${sentIn} ended before it was known whether it had the events`,
      )
    }
    try {
      const onRedis = reign.store === 'redis'
      const outcomes = onRedis
        ? await this.#onRedis().appendIn(reign, drafts, batch)
        : await this.#onPostgres().appendIn(reign.number, drafts, batch)
      this.#unsure.delete(batch.token)
      if (onRedis) this.#count(drafts, outcomes, reign.number)
      return outcomes
    } catch (error) {
      if (mayHaveBeenDone(error, reign)) this.#unsure.set(batch.token, reign.number)
      const [oldest] = this.#unsure.keys()
      if (this.#unsure.size > UNSURE && oldest !== undefined) this.#unsure.delete(oldest)
      throw error
    }
  }

  #count(drafts: readonly Draft[], outcomes: readonly Outcome[], reign: number): void {
    for (const [i, outcome] of outcomes.entries()) {
      const next = drafts[i + 1]
      const draft = drafts[i] as Draft
      // The last one of a flow stands for all.
      if (next?.flow === draft.flow && next.tenant === draft.tenant) continue
      if ('event' in outcome) this.#beginnings.counted(draft, outcome.event.seq, reign)
    }
  }

  async read(ref: FlowRef, range: Range): Promise<Page> {
    const reign = this.#reign()
    return this.#readIn(reign.number, await this.#store(reign).read(ref, range))
  }

  async readSince(flows: readonly Since[], limit: number): Promise<readonly Page[]> {
    const reign = this.#reign()
    const pages = await this.#store(reign).readSince(flows, limit)
    return pages.map((page) => this.#readIn(reign.number, page))
  }

  #readIn(number: number, page: Page): Page {
    // Judged now and not before: a process may have stood still while it waited for the answer.
    const certain = this.#term.reign?.number === number
    return { ...page, position: { ...page.position, reign: { number, certain } } }
  }

  /** Reading changes nothing: what a store says that has just ceased to reign is what it had. */
  #reign(): Reign {
    const reign = this.#term.reign ?? this.#term.last
    if (reign) return reign
    throw new SpillwayError('TERM_UNKNOWN', 'Nobody can say now which store reigns', { retryAfterMs: 500 })
  }

  #store(reign: Reign): RedisLog | PostgresLog {
    return reign.store === 'redis' ? this.#onRedis() : this.#onPostgres()
  }

  #onRedis(): RedisLog {
    if (this.#redis) return this.#redis
    throw new SpillwayError('STORE_UNAVAILABLE', 'Redis reigns, and this instance was given none')
  }

  #onPostgres(): PostgresLog {
    if (this.#postgres) return this.#postgres
    throw new SpillwayError('STORE_UNAVAILABLE', 'PostgreSQL reigns, and this instance was given none')
  }
}

/** Redis says of each failure whether anything may have come of it; what else fails in between was never sent. */
function mayHaveBeenDone(error: unknown, { store }: Reign): boolean {
  if (store === 'redis') return mayBeStored(error)
  return !(error instanceof SpillwayError) || !NOT_DONE.has(error.code)
}

const NOT_DONE = new Set(['TERM_UNKNOWN', 'FLOW_BUSY', 'DURABILITY_FIXED'])
