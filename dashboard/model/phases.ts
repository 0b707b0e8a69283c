import type { FlowEvent } from '../../client/index.js'
import { type Counts, count, counts, fields, text } from './read.js'

export interface Phase {
  readonly name: string
  state: 'ahead' | 'running' | 'completed' | 'failed'
  startedAt: number | undefined
  endedAt: number | undefined
  done: number | undefined
  total: number | undefined
  unit: string | undefined
  /** What the phase counted, as it ended. */
  counted: Counts
}

/** Phases beyond these are not kept: a flow that invents names without end must not fill the page. */
const MOST = 24

/** Follows `phase_started`, `phase_progress` and `phase_completed` of any flow. */
export class Phases {
  readonly #phases = new Map<string, Phase>()

  constructor(expected: readonly string[] = []) {
    this.expect(expected)
  }

  /** Names phases that are to come, in their order. */
  expect(names: readonly string[]): void {
    const known = [...this.#phases.values()]
    this.#phases.clear()
    for (const name of names) this.#at(name)
    for (const phase of known) this.#phases.set(phase.name, phase)
  }

  get all(): readonly Phase[] {
    return [...this.#phases.values()]
  }

  apply(event: FlowEvent): void {
    const at = Date.parse(event.timestamp)
    if (event.type === 'flow_failed' || event.type === 'flow_completed') {
      for (const phase of this.#phases.values()) {
        if (phase.state !== 'running') continue
        phase.state = event.type === 'flow_failed' ? 'failed' : 'completed'
        phase.endedAt = at
      }
      return
    }
    if (!event.type.startsWith('phase_')) return
    const payload = fields(event.payload)
    const phase = this.#at(text(payload.phase) ?? '')
    if (!phase) return
    switch (event.type) {
      case 'phase_started':
        phase.state = 'running'
        phase.startedAt ??= at
        phase.endedAt = undefined
        break
      case 'phase_progress':
        if (phase.state === 'ahead') phase.state = 'running'
        phase.startedAt ??= at
        phase.done = count(payload.done) ?? phase.done
        phase.total = count(payload.total) ?? phase.total
        phase.unit = text(payload.unit) ?? phase.unit
        break
      case 'phase_completed':
        phase.state = 'completed'
        phase.endedAt = at
        phase.counted = counts(payload, 'as written')
        // The total was a guess from the file's size; what was counted is not.
        phase.done = phase.counted.find(([name]) => name === phase.unit)?.[1] ?? phase.total ?? phase.done
        phase.total = phase.done
        break
    }
  }

  #at(name: string): Phase | undefined {
    const known = this.#phases.get(name)
    if (known || name === '' || this.#phases.size >= MOST) return known
    const phase: Phase = {
      name,
      state: 'ahead',
      startedAt: undefined,
      endedAt: undefined,
      done: undefined,
      total: undefined,
      unit: undefined,
      counted: [],
    }
    this.#phases.set(name, phase)
    return phase
  }
}

/** Share of a phase's work that is done, from 0 to 1; undefined while the total is unknown. */
export function share(phase: Phase): number | undefined {
  if (phase.state === 'completed') return 1
  if (phase.state === 'ahead') return 0
  if (phase.done === undefined || !phase.total) return undefined
  return Math.min(phase.done / phase.total, 1)
}
