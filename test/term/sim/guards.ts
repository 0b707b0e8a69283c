/** A guard of the protocol that lies in `src/term`: the text without which it is gone. */
export interface Mutation {
  readonly file: 'controller' | 'lead' | 'situation' | 'states' | 'view'
  readonly from: string
  readonly to: string
}

/**
 * Every guard that the simulation takes away: those in `src/term` by changing its text, those of the stores and of
 * capabilities (`model`) in what the simulation plays for them.
 */
export const GUARDS = {
  'trust ends': {
    file: 'controller',
    from: 'askedAt + this.#timing.trustMs',
    to: 'askedAt + 1e9',
  },
  'trust begins with the question': {
    file: 'controller',
    from: 'this.#trustedUntil = askedAt + this.#timing.trustMs',
    to: 'this.#trustedUntil = this.#around.now() + this.#timing.trustMs',
  },
  'one beat at a time': {
    file: 'controller',
    from: 'this.#beating = first.then(NOTHING_MORE, NOTHING_MORE)',
    to: 'void NOTHING_MORE',
  },
  'a first beat is not trusted': {
    file: 'controller',
    from: 'const known = askedAt - this.#beatAt < this.#timing.longestLeaseMs',
    to: 'const known = true',
  },
  'an answer counts only in its term': {
    file: 'controller',
    from: 'const still = onward || this.#counts(reign.number)',
    to: 'const still = true',
  },
  'no operation while closing': {
    file: 'controller',
    from: "|| this.#beat?.row.phase !== 'open') return undefined",
    to: ') return undefined',
  },
  'stopped only when nothing is under way': {
    file: 'states',
    from: 'if (!s.stopped && !s.busy)',
    to: 'if (!s.stopped)',
  },
  'opening waits': {
    file: 'states',
    from: 'if (!s.allStopped && !s.waited) return NOTHING',
    to: '',
  },
  'the wait is as long as trust': {
    file: 'lead',
    from: '- this.#ledSince >= timing.trustMs * DRIFT',
    to: '- this.#ledSince >= 0',
  },
  'a take-over waits anew': {
    file: 'lead',
    from: 'row.switcher, life)) this.#ledSince = around.now()',
    to: 'row.switcher, life)) this.#ledSince = Number.NEGATIVE_INFINITY',
  },
  'early only without silent lives': {
    file: 'situation',
    from: 'allStopped: fleet.every(',
    to: 'allStopped: live.every(',
  },
  'a life that leaves trusts no more': {
    file: 'controller',
    from: 'this.#openUntil = Number.NEGATIVE_INFINITY\n    this.#trustedUntil = Number.NEGATIVE_INFINITY\n    this.#cancel?.()',
    to: 'this.#cancel?.()',
  },
  majority: {
    file: 'situation',
    from: 'majorityDown: down * 2 > live.length',
    to: 'majorityDown: down > 0',
  },
  'quarantine is as long as leases': {
    file: 'lead',
    from: '? 0 : timing.longestLeaseMs * DRIFT',
    to: '? 0 : 0',
  },
  'the identity is looked at': {
    file: 'situation',
    from: 'return seen.identity === identity && expected',
    to: 'return expected',
  },
  'connections are only made to the identity of the term': {
    file: 'controller',
    from: "return row.store !== 'redis' || row.phase === 'closing' || row.identity === identity",
    to: 'return true || identity',
  },
  'the marker is looked at': {
    file: 'situation',
    from: "return seen.identity === identity && expected.includes(seen.marker ?? '')",
    to: 'return seen.identity === identity || expected.length === 0',
  },
  'a leader without its answer leads all the same': {
    file: 'lead',
    from: 'else this.#ledSince ??= this.#parts.around.now()',
    to: '',
  },
  'a leader that is gone is replaced': {
    file: 'states',
    from: "if (s.switcher === 'gone') return { do: 'take over' }",
    to: '',
  },
  'a carry-over that failed turns back': {
    file: 'states',
    from: "if (s.carried === 'failed' || s.majorityDown) return { do: 'turn back' }",
    to: '',
  },
  'what was said behind a carry-over is carried too': {
    file: 'lead',
    from: "this.#anySaidSince(number) ? 'not yet' : 'done'",
    to: "this.#anySaidSince(number) ? 'done' : 'done'",
  },
  'the mark comes before what is carried': {
    file: 'lead',
    from: `const identity = await this.#mark(number + 1, attempt)
      if (identity === undefined) return
      // Also from one Redis to another: leases that were reclaimed must be known there.
      const count = await this.#carryAll(number, 'rest')`,
    to: `const count = await this.#carryAll(number, 'rest')
      const identity = await this.#mark(number + 1, attempt)
      if (identity === undefined) return`,
  },
  'a mark is looked for before anything is carried': {
    file: 'lead',
    from: '? seen.identity : undefined',
    to: '? seen.identity : seen?.identity',
  },
  'the identity is that of the marked Redis': {
    file: 'lead',
    from: 'this.#carried = { number, attempt, identity,',
    to: 'const last = await this.#parts.redis?.look()\n this.#carried = { number, attempt, identity: last ? last.identity : identity,',
  },
  marker: 'model',
  'statements check the term': 'model',
  'take-over by compare-and-set': 'model',
  'opening by compare-and-set': 'model',
  attempt: 'model',
  'no carry-over into an open term': 'model',
  'leases longer in the store': 'model',
  'a renewal never shortens': 'model',
  reclaim: 'model',
  'carry-over': 'model',
  'a lower fence replaces no higher one': 'model',
  quarantine: 'model',
} as const satisfies Record<string, Mutation | 'model'>

export type Guard = keyof typeof GUARDS

/** The guards that are taken away in a run. */
export type Off = ReadonlySet<Guard>

export const ALL_GUARDS = Object.keys(GUARDS).filter(isGuard)

/** Without these random faults break at least one run in forty; docs/term.md has the shares of all. */
export const OFTEN = [
  'no operation while closing',
  'early only without silent lives',
  'majority',
  'the marker is looked at',
  'marker',
  'leases longer in the store',
  'reclaim',
  'carry-over',
] as const satisfies readonly Guard[]

function isGuard(name: string): name is Guard {
  return Object.hasOwn(GUARDS, name)
}

/** How a guard's text is changed; undefined for one that the simulation plays. */
export function mutationOf(guard: Guard): Mutation | undefined {
  const mutation: Mutation | 'model' = GUARDS[guard]
  return mutation === 'model' ? undefined : mutation
}
