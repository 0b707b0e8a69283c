import type { FlowEvent, Gap } from '../../src/index.js'

/** What one subscription has brought so far. */
export interface Reading {
  readonly events: FlowEvent[]
  /** Resolves when that many events are there. */
  until(count: number): Promise<readonly FlowEvent[]>
  /** Resolves with the first event that passes, past or to come. */
  found(passes: (event: FlowEvent) => boolean): Promise<FlowEvent>
  /** The error that ended it. */
  readonly ended: Promise<unknown>
  stop(): Promise<void>
}

/** Reads a subscription until it is stopped. */
export function reading(open: (signal: AbortSignal) => AsyncIterable<FlowEvent>): Reading {
  const events: FlowEvent[] = []
  const stopping = new AbortController()
  const waiting = new Set<() => void>()
  let over: { error: unknown } | undefined
  const ended = (async () => {
    try {
      for await (const event of open(stopping.signal)) {
        events.push(event)
        for (const look of [...waiting]) look()
      }
    } catch (error) {
      over = { error }
      for (const look of [...waiting]) look()
      return error
    }
    return undefined
  })()
  const when = <T>(holds: () => T | undefined) =>
    new Promise<T>((resolve, reject) => {
      const look = () => {
        const value = holds()
        if (value === undefined && !over) return
        waiting.delete(look)
        if (value === undefined) reject(new Error('the subscription ended', { cause: over?.error }))
        else resolve(value)
      }
      waiting.add(look)
      look()
    })
  return {
    events,
    ended,
    until: (count) => when(() => (events.length >= count ? events : undefined)),
    found: (passes) => when(() => events.find(passes)),
    stop: async () => {
      stopping.abort()
      await ended
    },
  }
}

export function gapOf(event: FlowEvent | undefined): Gap {
  if (event?.type !== 'gap') throw new Error(`not a gap: ${JSON.stringify(event)}`)
  return event.payload as Gap
}

/** The seqs of events, all of one term. */
export function seqs(events: readonly FlowEvent[]): number[] {
  return events.map(({ id }) => Number(id.split('-')[1]))
}

/** `from`, … `to`. */
export function upTo(to: number, from = 1): number[] {
  return Array.from({ length: Math.max(0, to - from + 1) }, (_, i) => from + i)
}
