import { Counter, collectDefaultMetrics, Gauge, Registry } from 'prom-client'
import type { Spillway } from '../spillway.js'

/** What a Spillway says of itself to Prometheus. No tenant's name is in it: everybody who reaches the port may read. */
export class Metrics {
  readonly contentType: string
  readonly #registry = new Registry()

  constructor(spillway: Spillway) {
    const registers = [this.#registry]
    this.contentType = this.#registry.contentType
    collectDefaultMetrics({ register: this.#registry })
    this.#gauge(
      'spillway_term_number',
      'Number of the reign that this instance knows.',
      () => spillway.termReport().number,
    )
    this.#gauge('spillway_term_trusted', '1 while this instance may trust what it knows of the term.', () =>
      spillway.term.trusted ? 1 : 0,
    )
    this.#gauge(
      'spillway_term_instances',
      'Instances that have beaten lately.',
      () => spillway.term.fleet.length,
    )
    const reigns = new Gauge({
      name: 'spillway_term_reigns',
      help: '1 for the store that reigns, as this instance knows it.',
      labelNames: ['store'],
      registers,
      collect: () => {
        const { reign } = spillway.term
        for (const store of ['redis', 'postgres']) reigns.set({ store }, reign?.store === store ? 1 : 0)
      },
    })
    const decisions = new Counter({
      name: 'spillway_limit_decisions_total',
      help: 'Takes of limits that were decided here: by a store, from memory, or by policy while no store answered.',
      labelNames: ['by', 'verdict'],
      registers,
      collect: () => {
        decisions.reset()
        for (const [by, { allowed, denied }] of Object.entries(spillway.limitDecisions)) {
          decisions.inc({ by, verdict: 'allowed' }, allowed)
          decisions.inc({ by, verdict: 'denied' }, denied)
        }
      },
    })
    const steps = new Counter({
      name: 'spillway_term_steps_total',
      help: 'Steps of the term that this instance has taken or seen.',
      labelNames: ['step'],
      registers,
    })
    this.#gauge(
      'spillway_locks_held',
      'Leases that this instance has granted or renewed and that may still run.',
      () => spillway.lockFigures.held,
    )
    this.#gauge(
      'spillway_locks_waiting',
      'Who waits for a lock on this instance.',
      () => spillway.lockFigures.waiting,
    )
    const outcomes = new Counter({
      name: 'spillway_locks_total',
      help: 'Locks that were granted here, and leases that ended otherwise than by their holder’s will.',
      labelNames: ['outcome'],
      registers,
      collect: () => {
        const figures = spillway.lockFigures
        outcomes.reset()
        for (const outcome of ['granted', 'lost'] as const) outcomes.inc({ outcome }, figures[outcome])
      },
    })
    spillway.onTermStep(({ step }) => steps.inc({ step }))
  }

  /** In the text format of Prometheus. */
  text(): Promise<string> {
    return this.#registry.metrics()
  }

  #gauge(name: string, help: string, read: () => number): void {
    const gauge: Gauge = new Gauge({
      name,
      help,
      registers: [this.#registry],
      collect: () => gauge.set(read()),
    })
  }
}
