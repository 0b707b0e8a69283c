import { SpillwayError } from '../errors.js'
import type { Reign } from '../term/term.js'
import { DRIFT, TIMING } from '../term/timing.js'

/** A lock: a name of a tenant. */
export interface LockRef {
  readonly tenant: string
  readonly name: string
}

/** One attempt at a lock. */
export interface Ask extends LockRef {
  /** Names the attempt: repeated after a lost answer it gets the same lease, and it keeps its place in line. */
  readonly claim: string
  /** Who asks, for people. */
  readonly holder: string
  readonly ttlMs: number
  /** How long its place in line is kept without another ask; 0: it does not stand in line. */
  readonly patienceMs: number
}

/** What became of an ask: the fence of a lease that began with it, or why there is none. */
export type Taken = { readonly fence: number } | { readonly busy: Busy }

/** A lock that somebody holds, or for which others were here first. */
export interface Busy {
  /** Undefined while nobody holds it: who is first in line has not come yet, or nothing may be granted just now. */
  readonly holder: string | undefined
  /** ms since 1970 by the store's clock. */
  readonly since: number | undefined
  /** After which the store gives it to another, unless it is renewed. */
  readonly leftMs: number
  /** Whether this claim is the next to have it, as far as is known. */
  readonly first: boolean
}

/** A lease as those know it who hold it, renew it or give it back. */
export interface LeaseRef extends LockRef {
  readonly fence: number
}

/** What a store knows of a lease beside that. */
export interface LeaseFacts {
  readonly claim: string
  readonly holder: string
  /** ms since 1970 by the store's clock. */
  readonly since: number
  readonly ttlMs: number
}

/** Gives back a lease, by its fence; or all that an attempt may have, a lease or a place in line, by its claim. */
export type GiveBack = LockRef & ({ readonly fence: number } | { readonly claim: string })

export interface GivenBack {
  readonly released: boolean
  /** Whose turn it is: a claim; `*`: nobody knows, all should ask; undefined: nobody waits. */
  readonly next: string | undefined
}

/** A lock that is held, for those who look after the system. */
export interface HeldLock extends LeaseRef {
  readonly holder: string
  readonly since: number
  readonly leftMs: number
  readonly waiting: number
}

/** A lease on its way to another store. */
export interface MovedLease extends LeaseRef, LeaseFacts {
  /** How long the other store shall keep it. */
  readonly leftMs: number
}

/** A lease that is to be kept for `ttlMs` from now on; undefined: for as long as it was asked for. */
export interface Renewal extends LeaseRef {
  readonly ttlMs: number | undefined
}

/** One answer for each that was asked for, or the error that this one alone has met. */
export type Answers<T> = Promise<readonly (T | SpillwayError)[]>

/**
 * Locks on one store. What is asked for together need not be atomic, each of it is. A store grants a lock to one
 * claim at a time, keeps the lease for `keptMs(ttlMs)` by its own clock, gives greater fences later, and refuses work
 * of another reign than its own: a lease of an older one counts only if it was moved. While the reign is quarantined
 * it grants nothing. Order: among those who wait and are alive, the order of arrival.
 * Errors of all: `STORE_UNAVAILABLE`, `TERM_UNKNOWN` (temporary), `INTERNAL`.
 */
export interface LockStore {
  /** Errors of one ask: `TOO_MANY_WAITERS`, `FENCES_SPENT`. */
  take(asks: readonly Ask[], reign: Reign): Answers<Taken>
  /**
   * Never makes a lease shorter: the answer to an earlier renewal may be lost. undefined: it is not held under this
   * fence any more.
   */
  renew(renewals: readonly Renewal[], reign: Reign): Answers<LeaseFacts | undefined>
  giveBack(returns: readonly GiveBack[], reign: Reign): Answers<GivenBack>
  look(lock: LockRef, reign: Reign): Promise<HeldLock | undefined>
  /** Order: by name. */
  list(tenant: string, limit: number, reign: Reign): Promise<HeldLock[]>
}

/** Bounds, each named by the error that refuses what is beyond. */
export const LOCK_LIMITS = {
  /** Below it the event loop of a busy process alone takes a lease away. */
  shortestMs: 100,
  longestMs: TIMING.longestLeaseMs,
  longestWaitMs: 3_600_000,
  /** Of one lock, over all instances. */
  waiters: 1000,
  /** Of one instance. */
  waiting: 10_000,
  /** That one instance has granted or renewed and that still run; a tenth of them of one tenant. */
  leases: 100_000,
} as const

/** How long a place in line is kept without another ask: so long a waiter that died holds up the others. */
export const PATIENCE_MS = 3000

/** What a message takes to arrive, beside the difference of clocks. */
const SLACK_MS = 20

/** How long a store keeps a lease that its holder counts on for `ttlMs`: their clocks differ. */
export function keptMs(ttlMs: number): number {
  return Math.ceil(ttlMs * DRIFT) + SLACK_MS
}

/** How long a store keeps a lease that comes from elsewhere with `leftMs` to go. */
export function movedMs(leftMs: number): number {
  return Math.ceil(leftMs * DRIFT) + 50
}

/** Errors: `INVALID_ARGUMENT` that names the bounds. */
export function checkTtl(ttlMs: unknown, longestMs: number = LOCK_LIMITS.longestMs): number {
  return checkMs('ttlMs', ttlMs, LOCK_LIMITS.shortestMs, longestMs)
}

/** Errors: `INVALID_ARGUMENT` that names the bounds. */
export function checkWait(waitMs: unknown): number {
  return checkMs('waitMs', waitMs, 0, LOCK_LIMITS.longestWaitMs)
}

/** Errors: `INVALID_ARGUMENT`. */
export function checkFence(fence: unknown): number {
  if (typeof fence === 'number' && Number.isSafeInteger(fence) && fence > 0) return fence
  throw new SpillwayError('INVALID_ARGUMENT', 'fence must be a whole number above 0, as a lease has it')
}

function checkMs(what: string, value: unknown, least: number, most: number): number {
  if (typeof value === 'number' && Number.isInteger(value) && value >= least && value <= most) return value
  throw new SpillwayError('INVALID_ARGUMENT', `${what} must be a whole number of ms from ${least} to ${most}`)
}

export function tooManyWaiters(): SpillwayError {
  return new SpillwayError('TOO_MANY_WAITERS', `${LOCK_LIMITS.waiters} wait for this lock already`)
}

export function fencesSpent(number: number): SpillwayError {
  return new SpillwayError('FENCES_SPENT', `Term ${number} has no fence left for this lock: turn the term`)
}
