import { randomUUID } from 'node:crypto'
import { SpillwayError } from '../errors.js'
import { Lead } from './lead.js'
import type { Beat, Surroundings, TermRedis, TermRow, TermStatus, TermStep, TermTable } from './ports.js'
import { REAL } from './ports.js'
import { liveOf, matchesTerm, situationOf } from './situation.js'
import { decide, type Situation, type Step } from './states.js'
import {
  fenceFloor,
  type OperateOptions,
  type Participant,
  type Reign,
  type StoreName,
  type Term,
} from './term.js'
import { DRIFT, leaseWindow, type Timing } from './timing.js'
import { RedisView } from './view.js'

export type { TermStatus, TermStep } from './ports.js'

export interface ControllerOptions {
  readonly name: string
  readonly table: TermTable
  /** undefined: an instance without Redis, in a fleet that may have one. */
  readonly redis: TermRedis | undefined
  readonly timing: Timing
  readonly around?: Surroundings
  /** Told of every step that this instance takes, and of every change that it sees. */
  readonly onStep?: (step: TermStep) => void
}

const NOTHING_MORE = () => undefined

/**
 * One instance's part in the term: beats, looks at Redis, takes the step that `decide` names, and lets operations
 * of record out only while it may trust what it knows.
 */
export class Controller implements Term {
  readonly life = randomUUID()
  readonly #options: ControllerOptions
  readonly #timing: Timing
  readonly #around: Surroundings
  readonly #view: RedisView | undefined
  readonly #lead: Lead
  readonly #listeners = new Set<() => void>()
  #beat: Beat | undefined
  #trustedUntil = Number.NEGATIVE_INFINITY
  /** Trust in an open reign alone: until then no other can have been opened, also once it is known to close. */
  #openUntil = Number.NEGATIVE_INFINITY
  /** When the last answered beat was sent. */
  #beatAt = Number.NEGATIVE_INFINITY
  #quarantinedUntil = Number.NEGATIVE_INFINITY
  /** The reign on Redis whose marker this instance has seen open. */
  #confirmed = 0
  #heardAt = 0
  #busy = 0
  #asked: Situation['asked'] = null
  #healthySince: number | undefined
  #cancel: (() => void) | undefined
  #cancelTrust: (() => void) | undefined
  #beating: Promise<void> | undefined
  #again = false
  #shown: Reign | undefined
  #closed = false

  constructor(options: ControllerOptions) {
    this.#options = options
    this.#timing = options.timing
    this.#around = options.around ?? REAL
    this.#view =
      options.redis && new RedisView(options.redis, this.#timing, this.#around, () => this.#viewChanged())
    const { table, redis } = options
    this.#lead = new Lead({
      life: this.life,
      table,
      redis,
      timing: this.#timing,
      around: this.#around,
      failed: (error) => this.#fail(error),
      carried: () => this.#hurry(),
    })
  }

  /** The first look at Redis and the first beat. Errors: `STORE_UNAVAILABLE`. */
  async start(): Promise<void> {
    void this.#view?.look()
    // The first makes this life known, the second may be trusted.
    const first = this.#ask().then(() => this.#ask())
    // One at a time, also when Redis is seen meanwhile: an answer that another has overtaken would be believed after it.
    this.#beating = first.then(NOTHING_MORE, NOTHING_MORE)
    try {
      await first
    } finally {
      this.#beating = undefined
    }
    this.#schedule()
  }

  get reign(): Reign | undefined {
    if (this.#around.now() >= this.#trustedUntil || this.#beat?.row.phase !== 'open') return undefined
    return this.last
  }

  get last(): Reign | undefined {
    const row = this.#beat?.row
    if (!row || (row.store === 'redis' && this.#confirmed !== row.number)) return undefined
    const { number, store } = row
    const onRedis = store === 'redis'
    return {
      number,
      store,
      sign: onRedis ? `${number}:open:${row.attempt}` : '',
      marker: (onRedis && this.#options.redis?.markerKey) || '',
      identity: (onRedis && row.identity) || '',
      fenceFloor: fenceFloor(number),
      quarantined: this.#around.now() < this.#quarantinedUntil,
    }
  }

  get status(): TermStatus {
    return {
      row: this.#beat?.row,
      fleet: this.#beat?.fleet ?? [],
      reign: this.reign,
      trusted: this.#around.now() < this.#trustedUntil,
      view: this.#view?.view ?? 'none',
      problem: this.#view?.problem ?? null,
      life: this.life,
    }
  }

  /** Whether a Redis that says it is this one may be used. */
  admits(identity: string): boolean {
    const row = this.#beat?.row
    if (!row) return false
    return row.store !== 'redis' || row.phase === 'closing' || row.identity === identity
  }

  async operate<T>(run: (reign: Reign) => Promise<T>, { goOn = false }: OperateOptions = {}): Promise<T> {
    const onward = goOn && this.#mayGoOn()
    const reign = onward ? this.last : this.reign
    if (!reign) {
      throw new SpillwayError('TERM_UNKNOWN', 'Nobody can say now which store reigns', { retryAfterMs: 500 })
    }
    this.#busy += 1
    try {
      const answer = await run(reign)
      // What began before the closing was known is waited for: its answer counts, or every turn would fail somebody.
      const still = onward || this.#counts(reign.number)
      if (!still)
        throw new SpillwayError('OUTCOME_UNKNOWN', `Term ${reign.number} ended before the answer came`)
      return answer
    } finally {
      this.#busy -= 1
      if (this.#busy === 0 && this.#beat?.row.phase === 'closing') this.#hurry()
    }
  }

  #counts(number: number): boolean {
    return this.#beat?.row.number === number && this.#around.now() < this.#openUntil
  }

  /** Never once a closing is known: the others count on it that nothing more comes from here. */
  #mayGoOn(): boolean {
    const lapsed = this.#around.now() >= this.#trustedUntil
    return lapsed && !this.#closed && this.#beat?.row.phase === 'open' && this.last?.store === 'redis'
  }

  onChange(told: () => void): () => void {
    this.#listeners.add(told)
    return () => this.#listeners.delete(told)
  }

  join(participant: Participant): void {
    this.#lead.participants.push(participant)
  }

  /** Redis was connected or lost. */
  nudge(): void {
    void this.#view?.look()
  }

  /** An operator's wish; carried out by this instance at its next beats. */
  ask(store: StoreName, reason: 'operator' | 'drill'): void {
    this.#asked = { store, reason }
    this.#hurry()
  }

  async close(): Promise<void> {
    this.#closed = true
    // The others no longer wait for this life once it has left.
    this.#openUntil = Number.NEGATIVE_INFINITY
    this.#trustedUntil = Number.NEGATIVE_INFINITY
    this.#cancel?.()
    this.#cancelTrust?.()
    this.#view?.close()
    await this.#beating
    // Without it the others would wait for the leases that this instance might still hold.
    await this.#options.table.leave(this.life, this.#lead.participants).catch(() => undefined)
  }

  #me() {
    const { view = 'none', identity = null } = this.#view ?? {}
    const matches = matchesTerm(this.#beat?.row, this.#view, this.#heardAt)
    return { life: this.life, name: this.#options.name, view, identity, matches }
  }

  #viewChanged(): void {
    this.#say('view', this.#view?.view ?? 'none')
    this.#hurry()
  }

  /** A beat at once, or right after the one that is under way. */
  #hurry(): void {
    if (this.#closed) return
    if (this.#beating) {
      this.#again = true
      return
    }
    this.#cancel?.()
    this.#cancel = this.#around.after(0, () => this.#run())
  }

  #schedule(): void {
    if (this.#closed) return
    const { beatMs, closingBeatMs } = this.#timing
    const closing = this.#beat?.row.phase === 'closing' || this.#asked !== null
    const pause = this.#again ? 0 : closing ? closingBeatMs : beatMs * (0.8 + 0.4 * this.#around.random())
    this.#again = false
    this.#cancel?.()
    this.#cancel = this.#around.after(pause, () => this.#run())
  }

  #run(): void {
    if (this.#closed || this.#beating) return
    this.#beating = this.#turn().finally(() => {
      this.#beating = undefined
      this.#schedule()
    })
  }

  /** One beat and the step that follows from it. PostgreSQL being away is an answer too: trust runs out. */
  async #turn(): Promise<void> {
    try {
      const { row } = await this.#ask()
      if (this.#closed) return
      const situation = this.#situation()
      const early = situation.healthy && row.store === 'postgres' && !this.#lead.bulked(row)
      await this.#take(decide(early ? { ...situation, healthy: false } : situation), row)
    } catch (error) {
      // Whatever it was: an instance that stopped beating would only be worse off. The next turn tries again.
      if (!(error instanceof SpillwayError && error.temporary)) this.#fail(error)
      this.#show()
    }
  }

  async #ask(): Promise<Beat> {
    const askedAt = this.#around.now()
    const beat = await this.#options.table.beat(this.#me(), leaseWindow(this.#timing))
    this.#heard(beat, askedAt)
    return beat
  }

  #heard(beat: Beat, askedAt: number): void {
    // What it told after it was closed would be trusted by a life that has left.
    if (this.#closed) return
    const before = this.#beat?.row
    const { row } = beat
    this.#beat = beat
    // Whoever closes meanwhile must find this life in the fleet: a first beat, or one after a long silence, may
    // have read the row long before it was seen itself.
    const known = askedAt - this.#beatAt < this.#timing.longestLeaseMs
    this.#beatAt = askedAt
    if (known) this.#trustedUntil = askedAt + this.#timing.trustMs
    if (row.phase === 'open') this.#openUntil = this.#trustedUntil
    this.#quarantinedUntil = this.#around.now() + Math.max(row.quarantineMs ?? 0, 0) * DRIFT
    this.#cancelTrust?.()
    const trustedMs = this.#trustedUntil - this.#around.now()
    if (trustedMs > 0) this.#cancelTrust = this.#around.after(trustedMs + 1, () => this.#show())
    if (row.number !== before?.number || row.phase !== before.phase) {
      this.#heardAt = this.#around.now()
      this.#options.redis?.reconsider()
      void this.#view?.look()
      this.#say(row.phase === 'open' ? 'opened' : 'closing', row.reason ?? '')
      this.#healthySince = undefined
    }
    if (row.phase === 'open' && row.store === this.#asked?.store) this.#asked = null
    this.#lead.heard(beat)
    if (row.phase === 'open' && row.store === 'redis' && this.#confirmed !== row.number)
      void this.#confirm(row)
    const ok = liveOf(beat.fleet, this.#timing.trustMs).every(({ view }) => view === 'ok')
    if (!ok || row.phase !== 'open') this.#healthySince = undefined
    else this.#healthySince ??= this.#around.now()
    this.#show()
  }

  /** Before its first operation in a reign on Redis an instance sees the marker open, or opens it. */
  async #confirm(row: TermRow): Promise<void> {
    try {
      if (!(await this.#options.redis?.confirm(row.number, row.attempt ?? ''))) return
      this.#confirmed = Math.max(this.#confirmed, row.number)
      this.#show()
    } catch (error) {
      if (!(error instanceof SpillwayError && error.temporary)) this.#fail(error)
    }
  }

  #situation(): Situation {
    const beat = this.#beat as Beat
    const since = this.#healthySince
    return situationOf(beat, {
      life: this.life,
      trustMs: this.#timing.trustMs,
      stopped: this.#lead.stopped,
      busy: this.#busy > 0,
      waited: this.#lead.waited,
      healthy: since !== undefined && this.#around.now() - since >= beat.row.healthyMs,
      asked: this.#asked,
      carried: this.#lead.carried(beat.row.number),
    })
  }

  async #take(step: Step, row: TermRow): Promise<void> {
    if (step.do === 'nothing') return
    this.#say(step.do, 'reason' in step ? step.reason : '', row)
    this.#again = true
    await this.#lead.take(step, row)
  }

  /** Tells of a change of what `reign` answers. */
  #show(): void {
    const reign = this.reign
    if (reign?.number === this.#shown?.number && reign?.store === this.#shown?.store) return
    const { number = 0, phase } = this.#beat?.row ?? {}
    if (!reign && phase === 'open' && this.#shown?.number === number) this.#say('trust lost', '')
    this.#shown = reign
    for (const told of [...this.#listeners]) told()
  }

  #fail(error: unknown): void {
    this.#say('failed', error instanceof Error ? (error.stack ?? error.message) : String(error))
  }

  #say(step: TermStep['step'], detail: string, row = this.#beat?.row): void {
    const { number = 0, store = 'postgres' } = row ?? {}
    this.#options.onStep?.({ step, number, store, detail })
  }
}
