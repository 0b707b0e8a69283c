import { randomBytes } from 'node:crypto'
import { aborted, SpillwayError } from '../errors.js'
import { faultOf } from '../redis/errors.js'
import type { Surroundings } from '../term/ports.js'
import type { Term } from '../term/term.js'
import type { Bells } from './bells.js'
import type { Lease } from './lease.js'
import type { LiveLease } from './leases.js'
import type { Line, Waiter } from './line.js'
import { type Ask, type Busy, keptMs, type LockRef, PATIENCE_MS } from './locks.js'
import type { Attempt, Locksmith } from './locksmith.js'
import type { LooseEnds } from './loose-ends.js'

export interface AskingParts {
  readonly around: Surroundings
  readonly term: Term
  readonly smith: Locksmith
  readonly line: Line
  readonly bells: Bells
  readonly ends: LooseEnds
  /** Fires when nobody may wait here any more. */
  readonly closing: AbortSignal
  /** Makes a lease of what was granted. */
  readonly hold: (lease: LiveLease, keeps: boolean) => Lease
}

/** What is asked for; everything in it has been checked. */
export interface Wish {
  readonly ttlMs: number
  /** 0: does not wait. */
  readonly waitMs: number
  readonly holder: string
  readonly signal: AbortSignal | undefined
  /** Whether the lease renews itself. */
  readonly keeps: boolean
}

/** A lock that could not be had, and when it is worth trying again. */
export interface BusyLock {
  /** Who holds it; null while nobody does: others wait, or nothing may be granted just now. */
  readonly holder: string | null
  /** Since when, ISO 8601 in UTC. */
  readonly since: string | null
  readonly retryAfterMs: number
  /** Nothing is granted just now, since leases of the term before may still be held that nobody knows of. */
  readonly quarantined: boolean
}

export type Acquired = { readonly lease: Lease } | { readonly busy: BusyLock }

type Failed = { readonly error: SpillwayError }

/** While a store is away, or nothing may be granted, who waits asks so often. */
const AWAY_MS = 200
/** Who does not hear whose turn it is asks so often: the first in line, and the others. */
const DEAF_MS = { first: 100, others: 300 }
/** Who waits asks so often to keep its place. */
const KEEP_MS = PATIENCE_MS / 3
/** Errors through which a wait goes on. */
const PASSING = new Set(['STORE_UNAVAILABLE', 'TERM_UNKNOWN', 'OUTCOME_UNKNOWN', 'FLOW_BUSY'])
/** Errors that say that the store was not asked, or refused. */
const NOTHING_DONE = new Set(['TERM_UNKNOWN', 'OVERLOADED', 'TOO_MANY_WAITERS', 'FENCES_SPENT', 'CLOSED'])

/** Asks for locks, and stands in line for them. What an ask leaves behind is cleared away. */
export class Asking {
  readonly #parts: AskingParts
  /** Claims are of this process. */
  readonly #life = randomBytes(9).toString('base64url')
  #claims = 0

  constructor(parts: AskingParts) {
    this.#parts = parts
  }

  /** Errors: as LockDesk.acquire. */
  async ask({ tenant, name }: LockRef, wish: Wish): Promise<Acquired> {
    const { ttlMs, waitMs, holder } = wish
    this.#claims += 1
    const claim = `${this.#life}.${this.#claims.toString(36)}`
    const patienceMs = waitMs > 0 ? PATIENCE_MS : 0
    const ask: Ask = { tenant, name, claim, holder, ttlMs, patienceMs }
    const end = this.#parts.around.now() + waitMs
    let first: Attempt | Failed
    try {
      first = await this.#parts.smith.take(ask)
    } catch (error) {
      first = this.#failed(ask, error)
    }
    const last = waitMs === 0 || 'lease' in first ? first : await this.#wait(ask, wish, end, first)
    if ('error' in last) throw last.error
    return 'lease' in last ? this.#counted(last.lease, wish) : { busy: busyLock(last.busy, last.quarantined) }
  }

  /** A lease that nobody waits for any more, or that came too late, goes back. */
  #counted(lease: LiveLease, { signal, keeps }: Wish): Acquired {
    const { around, closing, hold } = this.#parts
    const why = closing.aborted ? closed() : signal?.aborted ? aborted(signal) : undefined
    if (!why && around.now() < lease.deadline) return { lease: hold(lease, keeps) }
    this.#leave(lease)
    throw why ?? new SpillwayError('OUTCOME_UNKNOWN', 'The lock was granted too late to be counted on')
  }

  /** What passes is an answer, for those who wait. */
  #failed(ask: Ask, error: unknown): Failed {
    const waits = ask.patienceMs > 0
    const known = error instanceof SpillwayError ? error : undefined
    if (waits && known && PASSING.has(known.code)) return { error: known }
    const untouched = known && (NOTHING_DONE.has(known.code) || faultOf(known)?.outcome === 'none')
    if (waits || !untouched) this.#leave(ask)
    throw error
  }

  async #wait(ask: Ask, { signal }: Wish, end: number, first: Attempt | Failed): Promise<Attempt | Failed> {
    const { around, line, bells, closing } = this.#parts
    const waiter = this.#join(ask)
    const stop = () => waiter.ring()
    signal?.addEventListener('abort', stop)
    try {
      bells.watch(ask)
      for (let last = first; ; ) {
        if ('lease' in last) return last
        const left = end - around.now()
        if (left <= 0 || signal?.aborted || closing.aborted) {
          this.#leave(ask)
          if (closing.aborted) throw closed()
          if (signal?.aborted) throw aborted(signal)
          return last
        }
        await waiter.pause(Math.min(left, this.#pauseAfter(last)))
        if (signal?.aborted || around.now() >= end) continue
        try {
          last = await this.#parts.smith.take(ask)
        } catch (error) {
          last = this.#failed(ask, error)
        }
      }
    } finally {
      signal?.removeEventListener('abort', stop)
      if (line.leave(waiter)) bells.unwatch(ask)
    }
  }

  #join(ask: Ask): Waiter {
    try {
      return this.#parts.line.join(ask, ask.claim)
    } catch (error) {
      this.#leave(ask)
      throw error
    }
  }

  #pauseAfter(last: Exclude<Attempt, { lease: LiveLease }> | Failed): number {
    if ('error' in last || last.quarantined) return AWAY_MS
    const { term, bells, around } = this.#parts
    const keep = KEEP_MS * (0.8 + 0.4 * around.random())
    const { first, leftMs } = last.busy
    const deaf = !bells.works(term.reign?.store)
    // Who dies gives nothing back.
    const ends = first && leftMs > 0 ? leftMs + 1 : keep
    return Math.min(keep, ends, deaf ? DEAF_MS[first ? 'first' : 'others'] : keep)
  }

  /** Takes back what an ask may have left in the store. */
  #leave(what: LockRef & { readonly claim: string; readonly ttlMs: number }): void {
    this.#parts.ends.add(what, what.claim, keptMs(what.ttlMs))
  }
}

function busyLock({ holder, since, leftMs }: Busy, quarantined: boolean): BusyLock {
  return {
    holder: holder ?? null,
    since: since === undefined ? null : new Date(since).toISOString(),
    quarantined,
    retryAfterMs: quarantined ? 1000 : Math.max(50, Math.min(1000, Math.ceil(leftMs))),
  }
}

export function closed(): SpillwayError {
  return new SpillwayError('CLOSED', 'This Spillway was closed')
}
