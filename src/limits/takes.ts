import { SpillwayError } from '../errors.js'
import type { Reign, StoreName, Term } from '../term/term.js'
import type { LimitStore, Outcome, Take } from './limits.js'
import { type Answer, Waiting } from './waiting.js'

export interface TakesOptions {
  readonly term: Term
  readonly storeOf: (name: StoreName) => LimitStore
  /** ms within which a take is answered, by a store or by nobody. */
  readonly timeoutMs: number
  /** Told of an answer for which nobody waits any more. */
  readonly onLate: (take: Take, answer: Answer) => void
}

/** Takes that may wait for a store; what comes beyond them is answered by nobody. */
const MOST_WAITING = 10_000
/** Takes of one call of a store, and calls in flight: a store always has the next one (bench/limits). */
const AT_ONCE = 256
const IN_FLIGHT = 2
/** Between two looks whether a store answers again. */
const LOOK_MS = 50
/** A timer that comes so late was held up by this process itself. */
const LATE_MS = 50
/** Then whoever waits has so much longer, or the time-out once more if that is shorter. */
const SPARED_MS = 100

/**
 * Asks the store that reigns, together what arrives together. Nobody waits longer than the time-out, but for what this
 * process itself stands still; and while no store answers nobody waits at all: this looks by itself whether one does again.
 */
export class Takes {
  readonly #options: TakesOptions
  readonly #offTerm: () => void
  /** Everybody who waits, in the order of arrival, which is that of their deadlines. */
  readonly #waiting = new Set<Waiting>()
  #queue: Waiting[] = []
  /** Those for which nobody reigns now: asked again when somebody may. */
  #parked: Waiting[] = []
  #inFlight = 0
  #scheduled = false
  #away = false
  /** Nobody has reigned for as long as a strict take waits: the next ones need not. */
  #lapsed = false
  #looking = false
  #timer: NodeJS.Timeout | undefined
  #again: NodeJS.Timeout | undefined
  #closed = false

  constructor(options: TakesOptions) {
    this.#options = options
    this.#offTerm = options.term.onChange(() => this.#turned())
  }

  /** Undefined, or answers it: no store says it in time. Errors: `ABORTED`, `CLOSED`, `INTERNAL`. */
  ask(take: Take, signal?: AbortSignal): Promise<Answer | undefined> | undefined {
    if (this.#closed) throw closed()
    if (this.#away || this.#waiting.size >= MOST_WAITING) return undefined
    if (take.strict && this.#lapsed && !this.#options.term.reign) return undefined
    const { timeoutMs } = this.#options
    const deadline = performance.now() + timeoutMs
    const waiting = new Waiting(take, { deadline, signal }, this.#waiting)
    this.#queue.push(waiting)
    if (!this.#timer) this.#wake(deadline, timeoutMs)
    this.#schedule()
    return waiting.answer
  }

  close(): void {
    this.#closed = true
    this.#offTerm()
    clearTimeout(this.#timer)
    clearTimeout(this.#again)
    for (const waiting of [...this.#waiting]) waiting.fail(closed())
  }

  #turned(): void {
    clearTimeout(this.#again)
    this.#again = undefined
    this.#lapsed = false
    this.#queue = [...this.#parked, ...this.#queue]
    this.#parked = []
    if (this.#away) void this.#look()
    this.#schedule()
  }

  /** One turn of the event loop later: what is asked in this one goes together. */
  #schedule(): void {
    if (this.#scheduled || this.#inFlight >= IN_FLIGHT || this.#queue.length === 0) return
    this.#scheduled = true
    setImmediate(() => {
      this.#scheduled = false
      while (this.#inFlight < IN_FLIGHT && this.#queue.length > 0) this.#send()
    })
  }

  #send(): void {
    const batch = this.#queue.splice(0, AT_ONCE).filter((waiting) => !waiting.settled)
    if (batch.length === 0) return
    if (this.#options.term.reign) return void this.#run(batch, false)
    // PostgreSQL is away. Redis may go on, for those that would rather be counted by it than by nobody.
    const others = batch.filter(({ take }) => !take.strict)
    if (others.length < batch.length) this.#park(batch.filter(({ take }) => take.strict))
    if (others.length > 0) void this.#run(others, true)
  }

  async #run(batch: readonly Waiting[], goOn: boolean): Promise<void> {
    this.#inFlight += 1
    const askedAt = performance.now()
    try {
      const takes = batch.map(({ take }) => take)
      const [reign, outcomes] = await this.#operate(takes, goOn)
      batch.forEach((waiting, i) => {
        const answer = { outcome: outcomes[i] as Outcome, reign, askedAt, again: waiting.again }
        if (waiting.settled) this.#options.onLate(waiting.take, answer)
        else waiting.settle(answer)
      })
    } catch (error) {
      this.#failed(batch, error)
    } finally {
      this.#inFlight -= 1
      this.#schedule()
    }
  }

  #operate(takes: readonly Take[], goOn: boolean): Promise<readonly [Reign, readonly Outcome[]]> {
    const { term, storeOf } = this.#options
    return term.operate(async (reign) => [reign, await storeOf(reign.store).take(takes, reign)] as const, {
      goOn,
    })
  }

  #failed(batch: readonly Waiting[], error: unknown): void {
    const code = error instanceof SpillwayError ? error.code : 'INTERNAL'
    const open = batch.filter((waiting) => !waiting.settled)
    if (code === 'TERM_UNKNOWN' || code === 'OUTCOME_UNKNOWN') {
      // If it was counted, then where nobody is asked any more.
      for (const waiting of open) waiting.again ||= code === 'OUTCOME_UNKNOWN'
      this.#park(open)
    } else if (code === 'STORE_UNAVAILABLE') {
      for (const waiting of open) waiting.settle(undefined)
      this.#leave()
    } else {
      for (const waiting of open) waiting.fail(error)
    }
  }

  #park(batch: readonly Waiting[]): void {
    this.#parked.push(...batch)
    this.#again ??= setTimeout(() => this.#turned(), LOOK_MS)
  }

  #wake(at: number, ms: number): void {
    this.#timer = setTimeout(() => {
      const now = performance.now()
      const spared = now + Math.min(SPARED_MS, this.#options.timeoutMs)
      // What could not be sent because this process was busy says nothing of the store.
      if (now - at > LATE_MS) for (const waiting of this.#waiting) waiting.spare(spared)
      // Timers come before answers: one that lies in its socket is looked at first.
      setImmediate(() => this.#expire())
    }, ms)
  }

  #expire(): void {
    if (this.#closed) return
    this.#timer = undefined
    const now = performance.now()
    let late = false
    for (const waiting of this.#waiting) {
      if (waiting.deadline > now) {
        this.#wake(waiting.deadline, waiting.deadline - now)
        break
      }
      if (waiting.take.strict && !this.#options.term.reign) this.#lapsed = true
      else late = true
      waiting.settle(undefined)
    }
    if (late) this.#leave()
  }

  /** Whoever waits and whoever comes is answered by nobody, until a store answers. */
  #leave(): void {
    if (this.#away || this.#closed) return
    this.#away = true
    this.#queue = []
    this.#parked = []
    for (const waiting of [...this.#waiting]) waiting.settle(undefined)
    void this.#look()
  }

  async #look(): Promise<void> {
    if (this.#looking || this.#closed) return
    this.#looking = true
    try {
      await this.#operate([], true)
      this.#away = false
    } catch {
      // Whatever it is: the next look tells whether it is over.
      if (!this.#closed) this.#again ??= setTimeout(() => this.#turned(), LOOK_MS).unref()
    }
    this.#looking = false
  }
}

function closed(): SpillwayError {
  return new SpillwayError('CLOSED', 'This Spillway was closed')
}
