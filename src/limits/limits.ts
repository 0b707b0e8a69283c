import type { Reign } from '../term/term.js'

/**
 * How a limit counts. `fixed`: a window begins with its first request. `sliding`: the window before counts by the
 * share of it that is still within reach. `sliding-log`: every request for itself. `token-bucket`: `max` at once, then
 * evenly (GCRA). `concurrency`: leases, each until it is released or its time is over.
 */
export const ALGORITHMS = ['fixed', 'sliding', 'sliding-log', 'token-bucket', 'concurrency'] as const
export type Algorithm = (typeof ALGORITHMS)[number]

/**
 * What a limit answers when no store does. `open`: yes. `closed`: no. `local`: this instance's share of it, the
 * live instances sharing alike.
 */
export const POLICIES = ['open', 'closed', 'local'] as const
export type Policy = (typeof POLICIES)[number]

/** The longest window, and the longest lease. */
export const LONGEST_MS = 31 * 86_400_000

/** A limit as a caller names it. A name stands for one limit: give it the same numbers everywhere. */
export interface LimitSpec {
  /** 1 to 256 bytes; those that begin with `spillway.` are reserved. */
  readonly name: string
  /** Whole, 1 to 1,000,000,000; of a `sliding-log` and a `concurrency` limit at most 10,000. */
  readonly max: number
  /** ms of the window, until an empty bucket is full, or of a lease: 1 to 31 days; `max × perMs` ≤ 4.5e15. */
  readonly perMs: number
  /** Default `fixed`. */
  readonly algorithm?: Algorithm | undefined
  /** What the request weighs: 0 (looks only) to `max`, of entries at most 1,000; default 1. */
  readonly cost?: number | undefined
  /** Default `local`. */
  readonly whenAway?: Policy | undefined
}

/** A limit that was checked, of one tenant. */
export interface Limit {
  readonly tenant: string
  readonly name: string
  readonly algorithm: Algorithm
  readonly max: number
  readonly perMs: number
  /** Negative: given back; of counters only. */
  readonly cost: number
  readonly whenAway: Policy
  /** Its key in Redis, and its identity in this process. */
  readonly key: string
}

/** One request against all of its limits: it is counted by all, or by none. All are of one tenant, each once. */
export interface Take {
  /** Names its entries: a take that is sent again leaves no second ones. */
  readonly id: string
  readonly limits: readonly Limit[]
  /** Whether leases are among its entries. */
  readonly lease: boolean
  /** Not without knowing who reigns, though Redis answers: one of its limits is closed then. */
  readonly strict: boolean
}

/** What a store says of one limit after a take. */
export interface Told {
  /** Whether this limit alone would have let it pass. */
  readonly room: boolean
  /** A counter's state (`counters.ts`), or of entries how many there are. */
  readonly a: number
  /** Of entries: ms until the last one ends. */
  readonly b: number
  /** A counter's age in ms; of entries without room: ms until there is some. */
  readonly age: number
}

export interface Outcome {
  readonly allowed: boolean
  /** One a limit, in the order of the take. */
  readonly told: readonly Told[]
}

/** A lease of concurrency limits, under the id of its take. */
export interface Lease {
  readonly id: string
  readonly tenant: string
  /** Names of the limits that it is counted by. */
  readonly names: readonly string[]
}

/** A lease that is to be kept for longer. */
export interface LeaseRenewal {
  readonly id: string
  readonly tenant: string
  /** Concurrency limits that it is counted by, each for its own `perMs` from now on. */
  readonly limits: readonly Pick<Limit, 'name' | 'perMs'>[]
}

/** How a limit stands, for those who look after it. */
export interface LimitReport {
  readonly name: string
  readonly algorithm: Algorithm
  /** As it was last asked with; null where the store does not keep them (entries on Redis). */
  readonly max: number | null
  readonly perMs: number | null
  readonly used: number
  /** ms until it is whole again if nothing more is taken. */
  readonly resetMs: number
}

export interface LimitQuery {
  /** Only the limits under this name. */
  readonly name?: string | undefined
  /** Where the last page ended. */
  readonly after?: string | undefined
  readonly limit: number
}

export interface LimitPage {
  readonly limits: readonly LimitReport[]
  readonly next: string | null
}

/**
 * Limits in one store. Each take is decided in one atomic step, by the clock of the store. Errors of all:
 * `TERM_UNKNOWN` if this store does not have that reign: then nothing was counted; `STORE_UNAVAILABLE`; `INTERNAL`.
 */
export interface LimitStore {
  /** Decides them one after the other. Without any it only tells whether it could. */
  take(takes: readonly Take[], reign: Reign): Promise<readonly Outcome[]>
  /** Ends leases; answers how many there were. */
  release(leases: readonly Lease[], reign: Reign): Promise<number>
  /**
   * Keeps a lease by all of its limits, or by none; never shortens it. Answers what it weighs, one a limit; undefined if
   * it is over by any of them.
   */
  renew(renewal: LeaseRenewal, reign: Reign): Promise<readonly number[] | undefined>
  /** Forgets what was counted under a name, whatever the algorithm. Answers whether there was anything. */
  reset(tenant: string, name: string, reign: Reign): Promise<boolean>
  list(tenant: string, query: LimitQuery): Promise<LimitPage>
}
