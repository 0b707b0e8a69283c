import { type Frame, openStream, type SseReader } from '../support/sse.js'
import type { GapSighting, Reading, Run, Sighting } from './checker.js'

/** Answers after which nobody knows whether the event was stored. */
const UNKNOWN = /"(OUTCOME_UNKNOWN|STORE_UNAVAILABLE)"/

/** Addresses that are in service now; the chaos takes them away and brings others. */
export interface Addresses {
  /** One of them, or undefined while there is none. */
  pick(): string | undefined
  /** Resolves when there is one. */
  some(): Promise<void>
}

export interface WorldOptions {
  /** Flows that are published to as fast ones. */
  readonly fast?: ReadonlySet<string>
  /** Rest of a publisher after an answer. */
  readonly restMs?: number
}

/** Resolves when the service is well; answers something that changes when it was not meanwhile. */
export type Calm = () => Promise<unknown>

/**
 * Publishers and readers that use a service as real ones do: they repeat what was not answered, under the same
 * key, wherever somebody answers, and resume from their last id. Everything is written down for the checker.
 */
export class World {
  readonly #addresses: Addresses
  readonly #flows: readonly string[]
  readonly #fast: ReadonlySet<string>
  readonly #restMs: number
  readonly #repeated = new Set<string>()
  readonly #refused: string[] = []
  readonly #attempted = new Map<string, Set<string>>()
  readonly #acknowledged = new Map<string, Sighting[]>()
  readonly #readings: { reading: Reading; done: Promise<void>; stop: (head: number) => void }[] = []
  readonly #publishers: Promise<void>[] = []
  #publishing = true
  #acks = 0
  #waiting: { acks: number; resolve: () => void }[] = []

  constructor(
    addresses: Addresses,
    flows: readonly string[],
    { fast = new Set(), restMs = 0 }: WorldOptions = {},
  ) {
    this.#addresses = addresses
    this.#flows = flows
    this.#fast = fast
    this.#restMs = restMs
    for (const flow of flows) {
      this.#attempted.set(flow, new Set())
      this.#acknowledged.set(flow, [])
    }
  }

  /** Rejects when a publisher got an answer that no repeat can mend. */
  get failed(): Promise<never> {
    return Promise.all(this.#publishers).then(() => new Promise<never>(() => undefined))
  }

  get acks(): number {
    return this.#acks
  }

  /** Streams that were answered otherwise than with 200: a browser would never come back. */
  get refused(): readonly string[] {
    return this.#refused
  }

  /** Resolves when that many more events were acknowledged. */
  acknowledged(more: number): Promise<void> {
    return new Promise((resolve) => this.#waiting.push({ acks: this.#acks + more, resolve }))
  }

  /** Starts a publisher of one flow: an event, its answer, the next event. */
  publish(name: string, flow: string): void {
    const done = this.#publisher(name, flow)
    // Whoever finishes the world hears of it.
    done.catch(() => undefined)
    this.#publishers.push(done)
  }

  /** Starts a reader of one flow, from its beginning or behind the newest event that was acknowledged. */
  read(reader: string, flow: string, from: 'beginning' | 'newest' = 'beginning'): void {
    const after = (from === 'newest' && this.#acknowledged.get(flow)?.at(-1)?.id) || '0'
    const seen: (Sighting | GapSighting)[] = []
    let wanted = Number.POSITIVE_INFINITY
    let current: SseReader | undefined
    let reached = 0
    const full = () => reached >= wanted
    const take = (frame: Frame, by: string) => {
      const item = { ...sightingOf(frame), at: Date.now(), by }
      seen.push(item)
      reached = Math.max(reached, seqOf('gap' in item ? item.gap.to : item.id))
      if (full()) current?.close()
    }
    const run = async () => {
      let last = ''
      while (!full()) {
        const base = this.#addresses.pick()
        if (base === undefined) {
          await this.#addresses.some()
          continue
        }
        // The frames of this connection alone move the cursor, as in a browser.
        const url = `${base}/v1/flows/${flow}/stream?after=${after}`
        const opened = await openStream(url, {
          lastEventId: last,
          onFrame: (frame) => take(frame, base),
        }).catch(() => undefined)
        if (!opened) {
          await breathe()
          continue
        }
        current = opened
        if (opened.status !== 200) this.#refused.push(`${reader} was answered ${opened.status}`)
        if (full()) opened.close()
        await opened.closed
        last = opened.lastEventId
        if (opened.status !== 200) await breathe()
      }
    }
    this.#readings.push({
      reading: { reader, flow, after, seen },
      done: run(),
      stop: (head) => {
        wanted = head
        if (full()) current?.close()
      },
    })
  }

  /** Ends the publishers, lets every reader reach the log's end, and returns what happened. */
  async finish(calm: Calm = async () => undefined): Promise<Run> {
    this.#publishing = false
    await Promise.all(this.#publishers)
    await calm()
    // What a fast flow lost at its end shows when something follows.
    for (const flow of this.#fast) await this.#publishNext(flow, 'last:0')
    const history = await this.#histories(calm)
    for (const { reading, stop } of this.#readings) stop(seqOf(history.get(reading.flow)?.at(-1)?.id ?? '0'))
    await Promise.all(this.#readings.map(({ done }) => done))
    return {
      attempted: this.#attempted,
      acknowledged: this.#acknowledged,
      history,
      readings: this.#readings.map(({ reading }) => reading),
      fast: this.#fast,
      repeated: this.#repeated,
    }
  }

  /** All logs as they stood while nothing changed: pages of two reigns would be of two logs. */
  async #histories(calm: Calm): Promise<Map<string, Sighting[]>> {
    for (;;) {
      const before = await calm()
      const history = new Map<string, Sighting[]>()
      for (const flow of this.#flows) history.set(flow, await this.#history(flow))
      if ((await calm()) === before) return history
    }
  }

  async #publisher(name: string, flow: string): Promise<void> {
    for (let n = 0; this.#publishing; n++) {
      await this.#publishNext(flow, `${name}:${n}`)
      if (this.#restMs > 0) await breathe(this.#restMs)
    }
  }

  async #publishNext(flow: string, key: string): Promise<void> {
    this.#attempted.get(flow)?.add(key)
    const { id, by } = await this.#publishOnce(flow, key)
    this.#acknowledged.get(flow)?.push({ id, key, at: Date.now(), by })
    this.#acks += 1
    const due = this.#waiting.filter(({ acks }) => acks <= this.#acks)
    this.#waiting = this.#waiting.filter(({ acks }) => acks > this.#acks)
    for (const { resolve } of due) resolve()
  }

  /** Repeats until somebody answers; the key makes the repeats one event, or in a fast flow two at worst. */
  async #publishOnce(flow: string, key: string): Promise<{ id: string; by: string }> {
    const body = JSON.stringify({ type: 'step', payload: { key }, source: 'chaos', key })
    const path = `/v1/flows/${flow}/events${this.#fast.has(flow) ? '?durability=fast' : ''}`
    for (;;) {
      const { status, text, by } = await this.#ask(path, { method: 'POST', body })
      if (status === 201) return { id: (JSON.parse(text) as { id: string }).id, by }
      if (status !== 0 && status !== 503) throw new Error(`publish was answered ${status}: ${text}`)
      if (status === 0 || UNKNOWN.test(text)) this.#repeated.add(key)
      await breathe()
    }
  }

  async #history(flow: string): Promise<Sighting[]> {
    const events: Sighting[] = []
    for (;;) {
      const after = events.at(-1)?.id ?? '0'
      const { status, text } = await this.#ask(`/v1/flows/${flow}/events?after=${after}&limit=500`, {})
      if (status === 0 || status === 503) {
        await breathe()
        continue
      }
      if (status !== 200) throw new Error(`history was answered ${status}: ${text}`)
      const page: { events: { id: string; type: string; payload: { key: string } }[] } = JSON.parse(text)
      const found = page.events.filter(({ type }) => type !== 'gap')
      if (found.length === 0) return events
      events.push(...found.map(({ id, payload }) => ({ id, key: payload.key })))
    }
  }

  /** Status 0: no whole answer came. */
  async #ask(path: string, init: RequestInit): Promise<{ status: number; text: string; by: string }> {
    const base = this.#addresses.pick()
    if (base === undefined) {
      await this.#addresses.some()
      return { status: 0, text: '', by: '' }
    }
    try {
      const headers = { 'content-type': 'application/json' }
      const answer = await fetch(`${base}${path}`, { headers, signal: AbortSignal.timeout(15_000), ...init })
      return { status: answer.status, text: await answer.text(), by: base }
    } catch {
      return { status: 0, text: '', by: base }
    }
  }
}

function sightingOf({ id, event, data }: Frame): Sighting | GapSighting {
  const read = JSON.parse(data)
  if (event === 'gap') return { gap: { from: read.from, to: read.to, reason: read.reason } }
  return { id: id ?? '', key: read.payload.key }
}

function seqOf(id: string): number {
  return Number(id.slice(id.indexOf('-') + 1))
}

/** Between two tries, so that a refusal is not met by a flood. */
function breathe(ms = 20): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms))
}
