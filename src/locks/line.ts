import { SpillwayError } from '../errors.js'
import type { Surroundings } from '../term/ports.js'
import { lockId } from './keys.js'
import { LOCK_LIMITS, type LockRef } from './locks.js'

/** Those who wait in this process. Order of ringing: as they came. */
export class Line {
  readonly #around: Surroundings
  readonly #byClaim = new Map<string, Waiter>()
  readonly #byLock = new Map<string, Set<Waiter>>()
  readonly #ofTenant = new Map<string, number>()

  constructor(around: Surroundings) {
    this.#around = around
  }

  get count(): number {
    return this.#byClaim.size
  }

  /** Errors: `OVERLOADED`, also if a tenth of all are of this tenant. */
  join(lock: LockRef, claim: string): Waiter {
    const { waiting } = LOCK_LIMITS
    const own = this.#ofTenant.get(lock.tenant) ?? 0
    if (this.#byClaim.size >= waiting || own >= waiting / 10) {
      const whose = own >= waiting / 10 ? ' of this tenant' : ''
      throw new SpillwayError(
        'OVERLOADED',
        `${whose ? waiting / 10 : waiting}${whose} wait on this instance`,
        {
          retryAfterMs: 1000,
        },
      )
    }
    const waiter = new Waiter(lock, claim, this.#around)
    this.#byClaim.set(claim, waiter)
    const id = lockId(lock)
    const others = this.#byLock.get(id)
    if (others) others.add(waiter)
    else this.#byLock.set(id, new Set([waiter]))
    this.#ofTenant.set(lock.tenant, own + 1)
    return waiter
  }

  /** Answers whether nobody waits here for this lock any more. */
  leave(waiter: Waiter): boolean {
    const { lock, claim } = waiter
    waiter.rest()
    this.#byClaim.delete(claim)
    const own = (this.#ofTenant.get(lock.tenant) ?? 0) - 1
    if (own > 0) this.#ofTenant.set(lock.tenant, own)
    else this.#ofTenant.delete(lock.tenant)
    const id = lockId(lock)
    const others = this.#byLock.get(id)
    others?.delete(waiter)
    if (others && others.size > 0) return false
    this.#byLock.delete(id)
    return true
  }

  has(claim: string): boolean {
    return this.#byClaim.has(claim)
  }

  /** It may be the turn of this claim. */
  ring(claim: string): void {
    this.#byClaim.get(claim)?.ring()
  }

  /** It may be the turn of anybody who waits for this lock. */
  ringFor(lock: LockRef): void {
    for (const waiter of this.#byLock.get(lockId(lock)) ?? []) waiter.ring()
  }

  ringAll(): void {
    for (const waiter of this.#byClaim.values()) waiter.ring()
  }
}

/** One who waits. A ring while nobody listens is kept. */
export class Waiter {
  readonly lock: LockRef
  readonly claim: string
  readonly #around: Surroundings
  #rung = false
  #wake: (() => void) | undefined
  #cancel: (() => void) | undefined

  constructor(lock: LockRef, claim: string, around: Surroundings) {
    this.lock = lock
    this.claim = claim
    this.#around = around
  }

  ring(): void {
    if (this.#wake) this.#wake()
    else this.#rung = true
  }

  /** Until it is rung, at most so long. */
  async pause(ms: number): Promise<void> {
    if (!this.#rung) {
      await new Promise<void>((resolve) => {
        this.#wake = resolve
        this.#cancel = this.#around.after(Math.max(0, ms), resolve)
      })
    }
    this.rest()
    this.#rung = false
  }

  rest(): void {
    this.#cancel?.()
    this.#cancel = undefined
    this.#wake = undefined
  }
}
