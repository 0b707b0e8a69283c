import type { FlowRef } from '../tenant.js'
import type { Draft, Outcome } from './log.js'

/** What a batch has stored of one flow, next to each other. */
export interface StoredRun {
  readonly ref: FlowRef
  /** Those that are new: a repeat was told of when it was stored. */
  readonly fresh: readonly Extract<Outcome, { readonly event: unknown }>[]
}

/** Runs of one flow: a batch holds the events of a flow next to each other. */
export function* storedRuns(drafts: readonly Draft[], outcomes: readonly Outcome[]): Generator<StoredRun> {
  for (let from = 0; from < drafts.length; ) {
    const ref = drafts[from] as Draft
    let to = from
    const fresh: Extract<Outcome, { readonly event: unknown }>[] = []
    for (; drafts[to]?.flow === ref.flow && drafts[to]?.tenant === ref.tenant; to++) {
      const outcome = outcomes[to]
      if (outcome && 'event' in outcome && !outcome.repeated) fresh.push(outcome)
    }
    if (fresh.length > 0) yield { ref, fresh }
    from = to
  }
}
