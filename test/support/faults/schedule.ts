import { setTimeout as pause } from 'node:timers/promises'
import type { Nemesis } from './nemesis.js'

/** One fault of a schedule; times in ms from the schedule's beginning. */
export interface Planned {
  readonly at: number
  readonly until: number
  readonly nemesis: Nemesis
}

export interface Plan {
  /** From 0 to 1; the same numbers give the same schedule. */
  readonly random: () => number
  readonly forMs: number
  /** Rest between two faults, least and most. */
  readonly restMs: readonly [number, number]
  /** How long a fault lasts, least and most. */
  readonly lastsMs: readonly [number, number]
}

/**
 * One fault after the other, never two at once, each ended before `forMs`. All kinds come once, shuffled, before
 * any comes again: a run of any length meets as many kinds as it can.
 */
export function plan(nemeses: readonly Nemesis[], { random, forMs, restMs, lastsMs }: Plan): Planned[] {
  const between = ([least, most]: readonly [number, number]) =>
    least + Math.floor(random() * (most - least + 1))
  const planned: Planned[] = []
  let deck: Nemesis[] = []
  let now = 0
  for (;;) {
    const at = now + between(restMs)
    const until = at + between(lastsMs)
    if (deck.length === 0) deck = [...nemeses]
    const [nemesis] = deck.splice(Math.floor(random() * deck.length), 1)
    if (until > forMs || nemesis === undefined) return planned
    planned.push({ at, until, nemesis })
    now = until
  }
}

/**
 * Runs a schedule and says every step. Ends the fault that is on also when `signal` comes. Begins late rather
 * than early where a server takes its time to start: faults never overlap. None begins after `forMs`.
 */
export async function play(
  schedule: readonly Planned[],
  {
    say,
    signal,
    forMs = Number.POSITIVE_INFINITY,
  }: { say: (line: string) => void; signal: AbortSignal; forMs?: number },
): Promise<void> {
  const started = performance.now()
  const stamp = () => `${((performance.now() - started) / 1000).toFixed(1).padStart(6)} s  `
  const wait = (ms: number) => pause(Math.max(0, ms), undefined, { signal }).catch(() => undefined)
  for (const { at, until, nemesis } of schedule) {
    await wait(at - (performance.now() - started))
    if (signal.aborted || performance.now() - started > forMs) return
    await nemesis.begin()
    say(`${stamp()}begin  ${nemesis.name}`)
    await wait(until - at)
    await nemesis.end()
    say(`${stamp()}end    ${nemesis.name}`)
  }
}
