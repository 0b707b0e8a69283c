import { setTimeout as pause } from 'node:timers/promises'
import { type Flow, type FlowState, SpillwayError } from 'spillway'
import { checkSignal } from './errors.js'
import type { Screen } from './screen.js'
import { PHASES, type Phase } from './work/checkpoint.js'

/** Least time between two progress events, and between two writes of the flow's state for progress alone. */
const PROGRESS_MS = 200
const STATE_MS = 1000
/** How long a publish is repeated while the store is away. */
const PATIENCE_MS = 60_000
/** Where each phase begins and ends on the flow's own scale, in percent. */
const SPAN: Readonly<Record<Phase, readonly [number, number]>> = {
  data_import: [0, 40],
  field_mapping: [40, 45],
  asset_inventory: [45, 70],
  analysis: [70, 92],
  report: [92, 100],
}

type Status = 'pending' | 'running' | 'waiting' | 'completed' | 'failed'

/** How a run speaks: events with keys into its flow, the flow's state, and the terminal. */
export class Voice {
  readonly #flow: Flow
  readonly #screen: Screen
  readonly #signal: AbortSignal | undefined
  readonly #about: Readonly<Record<string, unknown>>
  #progressAt = 0
  #last: FlowState = {}
  #stateAt = 0

  constructor(
    flow: Flow,
    screen: Screen,
    about: Readonly<Record<string, unknown>>,
    signal: AbortSignal | undefined,
  ) {
    this.#flow = flow
    this.#screen = screen
    this.#about = about
    this.#signal = signal
  }

  /** Publishes a fact. Its key is its identity: said again after a resume it answers the first event. */
  say(type: string, payload: Readonly<Record<string, unknown>>, key: string) {
    return this.#persist(() =>
      this.#flow.publish(type, payload, { source: 'discovery', key, ...this.#options() }),
    )
  }

  async begin(phase: Phase): Promise<void> {
    checkSignal(this.#signal)
    this.#screen.phase(phase, PHASES.indexOf(phase) + 1, PHASES.length)
    await this.say('phase_started', { phase }, `started:${phase}`)
    await this.state('running', phase, SPAN[phase][0])
  }

  async end(phase: Phase, counts: Readonly<Record<string, unknown>>): Promise<void> {
    this.#screen.done(phase, counts)
    await this.say('phase_completed', { phase, ...counts }, `completed:${phase}`)
  }

  /** Tells how far a phase is, not more often than a person can see. `unit` names what is counted. */
  async progress(phase: Phase, done: number, total: number | null, unit: string): Promise<void> {
    checkSignal(this.#signal)
    const now = performance.now()
    if (now - this.#progressAt < PROGRESS_MS) return
    this.#progressAt = now
    this.#screen.progress(done, total, unit)
    await this.say('phase_progress', { phase, done, total, unit }, `progress:${phase}:${done}`)
    if (now - this.#stateAt < STATE_MS) return
    const [from, to] = SPAN[phase]
    const share = total === null || total === 0 ? 0.5 : Math.min(1, done / total)
    await this.state('running', phase, Math.round(from + (to - from) * share))
  }

  async state(
    status: Status,
    phase: string,
    percent: number,
    more: Readonly<Record<string, unknown>> = {},
  ): Promise<void> {
    this.#stateAt = performance.now()
    const state = { status, current_phase: phase, progress_percentage: percent, ...this.#about, ...more }
    this.#last = state
    // Not given up by the signal: a write that is left under way could come after the one that rests the flow.
    await this.#persist(() => this.#flow.setState(state))
  }

  /** Leaves the flow `pending` where it is: stopped, to go on later. The signal has spoken, so it is not asked. */
  async rest(): Promise<void> {
    await this.#flow.setState({ ...this.#last, ...this.#about, status: 'pending' })
  }

  note(text: string): void {
    this.#screen.note(text)
  }

  #options(): { signal?: AbortSignal } {
    return this.#signal === undefined ? {} : { signal: this.#signal }
  }

  /** A store that is away for a moment is no reason to give an import up; the key makes the repeat exact. */
  async #persist<T>(call: () => Promise<T>): Promise<T> {
    const deadline = performance.now() + PATIENCE_MS
    for (let wait = 100; ; wait = Math.min(wait * 2, 5000)) {
      try {
        return await call()
      } catch (error) {
        const temporary = error instanceof SpillwayError && error.temporary && error.code !== 'CLOSED'
        if (!temporary || performance.now() + wait > deadline) throw error
        await pause(error.retryAfterMs ?? wait, undefined, this.#options())
      }
    }
  }
}
