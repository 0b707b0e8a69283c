import type { Reason, Step } from './states.js'
import type { Participant, StoreName } from './term.js'

/** An instance's view of Redis; `none` for one that is not given any. */
export type View = 'ok' | 'unsure' | 'down' | 'none'

/** The row of the term. */
export interface TermRow {
  readonly number: number
  readonly store: StoreName
  readonly phase: 'open' | 'closing'
  readonly want: StoreName | null
  readonly switcher: string | null
  readonly reason: string | null
  /** Of the Redis that the term was opened on. */
  readonly identity: string | null
  readonly attempt: string | null
  readonly healthyMs: number
  /** An operator wants it so: no return by itself. */
  readonly held: boolean
  /** Since this reign was opened. */
  readonly openMs: number
  /** Left of the quarantine; null or negative: none. */
  readonly quarantineMs: number | null
}

/** A life of an instance: a restarted process is a new one. */
export interface FleetMember {
  readonly life: string
  readonly name: string
  readonly view: View
  readonly identity: string | null
  readonly matches: boolean
  /** The term for which it has stopped. */
  readonly stopped: number
  /** Since its last beat. */
  readonly ageMs: number
}

export interface Beat {
  readonly row: TermRow
  /** All that may hold a lease, this one included. */
  readonly fleet: readonly FleetMember[]
}

export interface Opening {
  readonly identity: string | null
  readonly attempt: string | null
  readonly quarantineMs: number
  readonly healthyMs: number
  readonly early: boolean
  readonly carried: number
}

/** The term's row and the instances', in PostgreSQL. Changes answer whether they were made. */
export interface TermTable {
  beat(me: Omit<FleetMember, 'stopped' | 'ageMs'>, windowMs: number): Promise<Beat>
  close(number: number, want: StoreName, life: string, reason: Reason): Promise<boolean>
  takeOver(number: number, from: string | null, life: string): Promise<boolean>
  turnBack(number: number, life: string): Promise<boolean>
  /** Says that this life has stopped, with what the participants alone know. */
  stop(number: number, life: string, participants: readonly Participant[]): Promise<boolean>
  open(number: number, life: string, opening: Opening): Promise<boolean>
  /** Nothing of this life is left. */
  leave(life: string, participants: readonly Participant[]): Promise<void>
}

/** What Redis says of itself. */
export interface Sight {
  readonly identity: string
  /** What all markers say; null if they are missing or differ. */
  readonly marker: string | null
}

/** Redis, as far as the term is concerned. */
export interface TermRedis {
  /** The marker that operations check, where they can. */
  readonly markerKey: string | undefined
  /** Looks at every master, and writes. */
  look(): Promise<Sight>
  /** Writes `carrying`; false if this term's marker is open already: a carry-over that comes too late. */
  mark(number: number, attempt: string): Promise<boolean>
  /** Makes `carrying` of this attempt `open`; true if it is open now. */
  confirm(number: number, attempt: string): Promise<boolean>
  /** Asks again whether the server that answers may be used. */
  reconsider(): void
}

/** Something that happened to the term, as operators see it. */
export interface TermStep {
  readonly step: Step['do'] | 'opened' | 'closing' | 'trust lost' | 'view' | 'failed'
  readonly number: number
  readonly store: StoreName
  readonly detail: string
}

/** What an instance knows of the term, for operators. */
export interface TermStatus {
  readonly row: TermRow | undefined
  readonly fleet: readonly FleetMember[]
  /** The reign that this instance trusts now. */
  readonly reign: { readonly number: number; readonly store: StoreName } | undefined
  readonly trusted: boolean
  readonly view: string
  /** What the last look at Redis failed with. */
  readonly problem?: string | null
  /** What operators should mend about Redis. */
  readonly warning?: string | null
  readonly life: string
}

/** Time and chance, which a simulation makes its own. */
export interface Surroundings {
  /** Monotonic ms. */
  now(): number
  /** Calls later; the answer takes it back. Does not keep the process alive. */
  after(ms: number, go: () => void): () => void
  random(): number
}

export const REAL: Surroundings = {
  now: () => performance.now(),
  after: (ms, go) => {
    const timer = setTimeout(go, ms)
    timer.unref()
    return () => clearTimeout(timer)
  },
  random: () => Math.random(),
}
