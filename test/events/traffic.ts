import { SpillwayError } from '../../src/errors.js'
import type { Durability, FlowEvent, Gap } from '../../src/index.js'
import { check, type GapSighting, type Problem, type Reading, type Sighting } from '../chaos/checker.js'
import { eventually } from '../support/eventually.js'
import type { Half } from './pair.js'
import { reading, type Reading as Subscription } from './readers.js'

interface Stream {
  readonly name: string
  readonly durability: Durability
  readonly acknowledged: Sighting[]
  readonly attempted: Set<string>
  readonly readers: Map<string, Subscription>
}

/** What publishers were told instead of an answer. */
export interface Refusal {
  readonly flow: string
  readonly code: string
}

const LAST = 'last:0'

/**
 * Publishes to flows one event after the other and reads them on other instances, while a test does something to the
 * stores; at the end it accounts for every event. What gets no answer is not sent again.
 */
export class Traffic {
  readonly refusals: Refusal[] = []
  readonly #streams: readonly Stream[]
  readonly #writers: readonly Half[]
  readonly #readers: readonly Half[]
  readonly #publishing: Promise<void>[]
  #stopped = false

  constructor(
    flows: Readonly<Record<string, Durability>>,
    { writers, readers }: { readonly writers: readonly Half[]; readonly readers: readonly Half[] },
  ) {
    this.#writers = writers
    this.#readers = readers
    this.#streams = Object.entries(flows).map(([name, durability]) => {
      return { name, durability, acknowledged: [], attempted: new Set(), readers: new Map() }
    })
    for (const stream of this.#streams) this.#read(stream, 'early')
    this.#publishing = this.#streams.flatMap((stream) =>
      writers.map((half, i) => this.#publish(stream, half, `p${i}`)),
    )
  }

  /** Events that were answered for, of all flows or of one. */
  acknowledged(flow?: string): number {
    return this.#streams
      .filter(({ name }) => flow === undefined || name === flow)
      .reduce((sum, stream) => sum + stream.acknowledged.length, 0)
  }

  /** Resolves when each flow has got so many answers more. */
  async more(count: number): Promise<void> {
    const goals = this.#streams.map((stream) => stream.acknowledged.length + count)
    await eventually(
      () => this.#streams.every((stream, i) => stream.acknowledged.length >= (goals[i] as number)),
      { what: `${count} answers more a flow`, withinMs: 30_000 },
    )
  }

  /** Everything that is wrong with what was answered, kept and read; the stores must be well again. */
  async account(): Promise<Problem[]> {
    this.#stopped = true
    await Promise.all(this.#publishing)
    for (const stream of this.#streams) {
      this.#read(stream, 'late')
      await this.#send(stream, this.#writers[0] as Half, LAST)
      for (const subscription of stream.readers.values()) {
        await subscription.found((event) => keyOf(event) === LAST)
        await subscription.stop()
      }
    }
    const histories = await Promise.all(
      this.#streams.map(({ name }) => historyOf(this.#readers[0] as Half, name)),
    )
    const fast = this.#streams.filter(({ durability }) => durability === 'fast')
    return check({
      attempted: new Map(this.#streams.map(({ name, attempted }) => [name, attempted])),
      acknowledged: new Map(this.#streams.map(({ name, acknowledged }) => [name, acknowledged])),
      history: new Map(this.#streams.map(({ name }, i) => [name, histories[i] as Sighting[]])),
      readings: this.#streams.flatMap(({ name, readers }) =>
        [...readers].map(([reader, { events }]): Reading => {
          return { reader, flow: name, after: '0', seen: events.map(sighting) }
        }),
      ),
      fast: new Set(fast.map(({ name }) => name)),
    })
  }

  /** The gaps that readers of a flow were told of. */
  gaps(flow: string): Gap[] {
    const stream = this.#streams.find(({ name }) => name === flow)
    return [...(stream?.readers.values() ?? [])].flatMap(({ events }) =>
      events.filter(({ type }) => type === 'gap').map(({ payload }) => payload as Gap),
    )
  }

  #read({ name, readers }: Stream, when: string): void {
    for (const [i, half] of this.#readers.entries())
      readers.set(
        `${when} ${i}`,
        reading((signal) => half.flow(name).subscribe({ after: '0', signal })),
      )
  }

  async #publish(stream: Stream, half: Half, publisher: string): Promise<void> {
    for (let n = 0; !this.#stopped; n++) await this.#send(stream, half, `${publisher}:${n}`)
  }

  async #send({ name, durability, attempted, acknowledged }: Stream, half: Half, key: string): Promise<void> {
    attempted.add(key)
    try {
      const { id } = await half.flow(name, durability).publish('tick', { key })
      acknowledged.push({ id, key })
    } catch (error) {
      const code = error instanceof SpillwayError ? error.code : String(error)
      this.refusals.push({ flow: name, code })
    }
  }
}

async function historyOf(half: Half, name: string): Promise<Sighting[]> {
  const events: Sighting[] = []
  for (let after = '0'; ; ) {
    const page = await half.flow(name).history({ after, limit: 1000 })
    const last = page.at(-1)
    if (!last) return events
    events.push(
      ...page.filter(({ type }) => type !== 'gap').map((event) => ({ id: event.id, key: keyOf(event) })),
    )
    after = last.id
  }
}

function sighting(event: FlowEvent): Sighting | GapSighting {
  return event.type === 'gap' ? { gap: event.payload as Gap } : { id: event.id, key: keyOf(event) }
}

function keyOf({ payload }: FlowEvent): string {
  return (payload as { key: string }).key
}
