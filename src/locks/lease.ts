import { SpillwayError } from '../errors.js'
import type { Surroundings } from '../term/ports.js'
import type { LiveLease } from './leases.js'
import type { LeaseRef } from './locks.js'

/** What a lease needs of the process that holds it. */
export interface LeaseParts {
  readonly around: Surroundings
  renew(lease: LeaseRef, ttlMs: number | undefined): Promise<LiveLease | undefined>
  giveBack(lease: LeaseRef): Promise<boolean>
  /** It could not be given back now. */
  left(lease: LiveLease): void
  /** Told once; `lost`: otherwise than by its holder's will. */
  ended(lease: Lease, lost: boolean): void
}

/** A renewal that failed is tried again after this share of the ttl, at least and at most so many ms. */
const AGAIN = { share: 1 / 20, leastMs: 20, mostMs: 500 }

/**
 * A timed right to a lock. It may be counted on while `held` is true: until its deadline on this process's own clock,
 * whatever the stores do. What it protects should check its `fence` (spillway.fence_ok), because a process that
 * stands still finds out late.
 */
export class Lease {
  readonly name: string
  /** Greater than that of every lease before on this lock; a safe integer. */
  readonly fence: number
  readonly #parts: LeaseParts
  readonly #keeps: boolean
  #lease: LiveLease
  /** A third of the ttl after the last renewal that counts was asked for. */
  #renewAt: number
  #renewing = false
  #over: SpillwayError | 'released' | undefined
  #controller: AbortController | undefined
  #cancel: (() => void) | undefined

  /** `keeps`: renews itself at each third of its ttl. */
  constructor(lease: LiveLease, parts: LeaseParts, keeps: boolean) {
    this.name = lease.name
    this.fence = lease.fence
    this.#lease = lease
    this.#parts = parts
    this.#keeps = keeps
    this.#renewAt = renewalOf(lease)
    if (keeps) this.#arm()
  }

  /** Whether it may be counted on now. */
  get held(): boolean {
    return this.#over === undefined && this.#parts.around.now() < this.#lease.deadline
  }

  /** Until when it may be counted on, as `performance.now()` counts. */
  get deadline(): number {
    return this.#lease.deadline
  }

  /** ms for which it may still be counted on; 0: it is over. */
  get leftMs(): number {
    return this.held ? this.#lease.deadline - this.#parts.around.now() : 0
  }

  /**
   * Fires when the lease ends without having been released: at its deadline, by this process's own clock, or as soon as
   * the store says that it is lost. Its reason is an error `LOCK_LOST`.
   */
  get signal(): AbortSignal {
    if (!this.#controller) {
      this.#controller = new AbortController()
      if (this.#over instanceof SpillwayError) this.#controller.abort(this.#over)
      else this.#look()
    }
    return this.#controller.signal
  }

  /**
   * Counts it from now on for `ttlMs`, or for as long as it was asked for. False: it is lost. Errors: those of the
   * store; the lease is then what it was.
   */
  async renew(ttlMs?: number): Promise<boolean> {
    if (!this.held) {
      this.#look()
      return false
    }
    const renewed = await this.#parts.renew(this.#lease, ttlMs)
    if (!renewed) {
      this.#lose('the store has ended it')
      return false
    }
    // A deadline that has passed stays passed: its holder was told that it is over.
    if (!this.held) {
      this.#look()
      if (this.#over !== 'released') this.#parts.left(this.#lease)
      return false
    }
    if (renewed.deadline > this.#lease.deadline) this.#lease = renewed
    this.#renewAt = renewalOf(renewed)
    this.#arm()
    return true
  }

  /**
   * Gives it back, so that the next can have the lock. Answers whether it was still held in the store. Errors: those of
   * the store; it is given back later then, or ends by itself.
   */
  async release(): Promise<boolean> {
    if (this.#over !== undefined) return false
    this.#over = 'released'
    this.#cancel?.()
    this.#parts.ended(this, false)
    try {
      return await this.#parts.giveBack(this.#lease)
    } catch (error) {
      this.#parts.left(this.#lease)
      throw error
    }
  }

  /** Ends it for the holder alone: the store keeps it to its end. */
  abandon(why: string): void {
    this.#lose(why)
  }

  #look(): void {
    if (this.#over !== undefined) return
    if (this.#parts.around.now() >= this.#lease.deadline) this.#lose('its time is over')
    else this.#arm()
  }

  #lose(why: string): void {
    if (this.#over !== undefined) return
    this.#over = new SpillwayError('LOCK_LOST', `The lease on the lock "${this.name}" ended: ${why}`)
    this.#cancel?.()
    this.#parts.ended(this, true)
    this.#controller?.abort(this.#over)
  }

  /** Wakes up for the next thing to do, if there is any. */
  #arm(): void {
    this.#cancel?.()
    this.#cancel = undefined
    if (this.#over !== undefined || (!this.#keeps && !this.#controller)) return
    const { deadline } = this.#lease
    const at = this.#keeps && !this.#renewing ? Math.min(this.#renewAt, deadline) : deadline
    this.#cancel = this.#parts.around.after(Math.max(0, at - this.#parts.around.now()), () => this.#due())
  }

  #due(): void {
    const now = this.#parts.around.now()
    if (this.#keeps && !this.#renewing && now >= this.#renewAt && now < this.#lease.deadline)
      void this.#keep()
    this.#look()
  }

  async #keep(): Promise<void> {
    this.#renewing = true
    const { ttlMs } = this.#lease
    try {
      await this.renew(ttlMs)
    } catch (error) {
      if (!(error instanceof SpillwayError && error.temporary))
        this.#lose(`its renewal failed: ${String(error)}`)
      const pause = Math.min(AGAIN.mostMs, Math.max(AGAIN.leastMs, ttlMs * AGAIN.share))
      this.#renewAt = this.#parts.around.now() + pause
    } finally {
      this.#renewing = false
      this.#arm()
    }
  }
}

function renewalOf({ deadline, ttlMs }: LiveLease): number {
  return deadline - (ttlMs * 2) / 3
}
