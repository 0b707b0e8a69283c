import type { Reign } from '../term/term.js'
import type { Line } from './line.js'
import type { LockRef } from './locks.js'

/**
 * Tells those who wait in other processes whose turn it is. What is told is a hint: a lost one costs time, because all
 * who wait ask again by themselves.
 */
export interface Bell {
  /** Whether what others tell is heard now. */
  readonly works: boolean
  /** Somebody waits here for this lock. */
  watch(lock: LockRef): void
  /** Nobody does any more. */
  unwatch(lock: LockRef): void
  /** It is the turn of this claim, which waits elsewhere. */
  tell(claim: string): void
  close(): Promise<void>
}

/** The bells of both stores: a wait may see a change of the store. */
export class Bells {
  readonly #line: Line
  readonly #bells: Readonly<Partial<Record<Reign['store'], Bell>>>

  constructor(line: Line, bells: Readonly<Partial<Record<Reign['store'], Bell>>>) {
    this.#line = line
    this.#bells = bells
  }

  works(store: Reign['store'] | undefined): boolean {
    return store !== undefined && (this.#bells[store]?.works ?? false)
  }

  watch(lock: LockRef): void {
    for (const bell of Object.values(this.#bells)) bell.watch(lock)
  }

  unwatch(lock: LockRef): void {
    for (const bell of Object.values(this.#bells)) bell.unwatch(lock)
  }

  /** It is the turn of this claim, or of anybody who waits for the lock (`*`). */
  tell(lock: LockRef, next: string, store: Reign['store']): void {
    if (next === '*') this.#line.ringFor(lock)
    else if (this.#line.has(next)) this.#line.ring(next)
    else this.#bells[store]?.tell(next)
  }

  async close(): Promise<void> {
    for (const bell of Object.values(this.#bells)) await bell.close()
  }
}
