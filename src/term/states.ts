import type { StoreName } from './term.js'

/** Everything that one instance takes into account when it asks itself what to do about the term. */
export interface Situation {
  readonly phase: 'open' | 'closing'
  readonly store: StoreName
  /** Where the closing leads. */
  readonly want: StoreName
  /** Who leads the closing: this instance, a live one, or one that no longer beats. */
  readonly switcher: 'me' | 'live' | 'gone'
  /** Whether this instance has said that it has stopped for this term. */
  readonly stopped: boolean
  /** Operations of record of this instance that are under way. */
  readonly busy: boolean
  /** Whether every instance that may hold a lease has stopped. */
  readonly allStopped: boolean
  /** Whether the whole trust of everybody has passed since this instance leads the closing. */
  readonly waited: boolean
  /** A strict majority of the live instances sees Redis down. */
  readonly majorityDown: boolean
  /** A strict majority of those that see Redis well finds another identity or marker than the term's. */
  readonly wrongRedis: boolean
  /** An operator wants PostgreSQL: no return by itself. */
  readonly held: boolean
  /** All live instances have seen Redis well for long enough. */
  readonly healthy: boolean
  /** What an operator has asked this instance for. */
  readonly asked: { readonly store: StoreName; readonly reason: 'operator' | 'drill' } | null
  /** What became of the carry-over into Redis that this instance leads; not done yet where one has stopped since. */
  readonly carried: 'not yet' | 'under way' | 'done' | 'failed'
}

export type Step =
  | { readonly do: 'nothing' }
  /** Compare-and-set to closing. */
  | { readonly do: 'close'; readonly want: StoreName; readonly reason: Reason }
  /** Say that nothing of this instance is under way, with what it alone knows. */
  | { readonly do: 'stop' }
  /** Lead the closing that its leader has left. */
  | { readonly do: 'take over' }
  /** Redis cannot be carried into: PostgreSQL goes on, under a new number. */
  | { readonly do: 'turn back' }
  | { readonly do: 'carry' }
  | { readonly do: 'open'; readonly early: boolean }

export type Reason = 'majority' | 'identity' | 'return' | 'operator' | 'drill'

const NOTHING: Step = { do: 'nothing' }

/** What to do next. Total: every situation has one answer, and doing it again changes nothing more. */
export function decide(s: Situation): Step {
  return s.phase === 'open' ? whileOpen(s) : whileClosing(s)
}

function whileOpen({ store, majorityDown, wrongRedis, healthy, held, asked }: Situation): Step {
  if (asked && asked.store !== store && (asked.store === 'postgres' || healthy))
    return { do: 'close', want: asked.store, reason: asked.reason }
  if (store === 'redis') {
    if (majorityDown) return { do: 'close', want: 'postgres', reason: 'majority' }
    if (wrongRedis) return { do: 'close', want: 'redis', reason: 'identity' }
    return NOTHING
  }
  return healthy && !held ? { do: 'close', want: 'redis', reason: 'return' } : NOTHING
}

function whileClosing(s: Situation): Step {
  // First of all: the others wait for it. Not with something under way, whose answer counts: a lock that it grants would
  // be held here and not be reclaimed.
  if (!s.stopped && !s.busy) return { do: 'stop' }
  if (s.switcher === 'gone') return { do: 'take over' }
  if (s.switcher === 'live') return NOTHING
  // An operation of its own that hangs does not hold up the others: its answer will not count.
  if (!s.allStopped && !s.waited) return NOTHING
  if (s.want === 'redis') {
    if (s.carried === 'failed' || s.majorityDown) return { do: 'turn back' }
    if (s.carried === 'not yet') return { do: 'carry' }
    if (s.carried === 'under way') return NOTHING
  }
  return { do: 'open', early: s.allStopped }
}
