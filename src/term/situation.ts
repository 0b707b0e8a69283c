import type { Beat, FleetMember, Sight, TermRow } from './ports.js'
import type { Situation } from './states.js'

/** What an instance knows besides its last beat. */
export interface Knowledge {
  readonly life: string
  /** ms since its last beat beyond which a life is not live any more. */
  readonly trustMs: number
  /** The last term for which this instance has stopped. */
  readonly stopped: number
  readonly busy: boolean
  readonly waited: boolean
  readonly healthy: boolean
  readonly asked: Situation['asked']
  readonly carried: Situation['carried']
}

/** What the last beat says, as the decision takes it into account. */
export function situationOf({ row, fleet }: Beat, own: Knowledge): Situation {
  const live = liveOf(fleet, own.trustMs)
  const down = live.filter(({ view }) => view === 'down').length
  const well = live.filter(({ view }) => view === 'ok' || view === 'unsure')
  const wrong = well.filter(({ matches }) => !matches).length
  const stopped = own.stopped === row.number
  const leader = live.find(({ life }) => life === row.switcher)
  return {
    phase: row.phase,
    store: row.store,
    want: row.want ?? row.store,
    switcher: row.switcher === own.life ? 'me' : leader ? 'live' : 'gone',
    stopped,
    busy: own.busy,
    // What it has just said of itself is not in the beat yet.
    allStopped: fleet.every((one) => one.stopped === row.number || (one.life === own.life && stopped)),
    waited: own.waited,
    majorityDown: down * 2 > live.length,
    wrongRedis: wrong * 2 > well.length,
    healthy: own.healthy,
    held: row.held,
    asked: own.asked,
    carried: own.carried,
  }
}

/** Those that have beaten within the time of trust. */
export function liveOf(fleet: readonly FleetMember[], trustMs: number): FleetMember[] {
  return fleet.filter(({ ageMs }) => ageMs < trustMs)
}

/**
 * Whether the Redis that an instance sees is the one that the term was opened on, with this term's marker. `heardAt`:
 * when it first heard of the row as it is.
 */
export function matchesTerm(row: TermRow | undefined, seen: Seen | undefined, heardAt: number): boolean {
  // What is seen while a term closes may be the next one's already: counted against that, it would close it too.
  if (row?.phase !== 'open' || row.store !== 'redis') return true
  // A look from before this reign was heard of says nothing about it.
  if (!seen || seen.lookedAt <= heardAt) return true
  const { number, attempt, identity } = row
  const expected = [`${number}:open:${attempt}`, `${number}:carrying:${attempt}`]
  // A second line for `admits`: on a Cluster the identity changes with one server, and the others are used on.
  return seen.identity === identity && expected.includes(seen.marker ?? '')
}

/** What an instance has seen of Redis, and when it last asked. */
type Seen = { readonly [K in keyof Sight]: Sight[K] | null } & { readonly lookedAt: number }
