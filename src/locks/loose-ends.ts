import { SpillwayError } from '../errors.js'
import type { Surroundings } from '../term/ports.js'
import { lockId } from './keys.js'
import type { GiveBack, LockRef } from './locks.js'

/** Beyond them the oldest are left to end by themselves. */
const MOST = 10_000
const PAUSE_MS = 250

interface LooseEnd {
  readonly lock: LockRef
  readonly claim: string
  /** When the store has forgotten it by itself. */
  readonly until: number
}

/**
 * What attempts may have left in the store: a place in line, or a lease whose answer was lost or that could not be given
 * back. Tried again until it is gone, so that nobody waits for a holder that there is not.
 */
export class LooseEnds {
  readonly #giveBack: (what: GiveBack) => Promise<unknown>
  readonly #around: Surroundings
  readonly #ends = new Map<string, LooseEnd>()
  #cancel: (() => void) | undefined
  #tying: Promise<void> | undefined

  constructor(giveBack: (what: GiveBack) => Promise<unknown>, around: Surroundings) {
    this.#giveBack = giveBack
    this.#around = around
  }

  add(lock: LockRef, claim: string, forMs: number): void {
    const [oldest] = this.#ends.keys()
    if (this.#ends.size >= MOST && oldest !== undefined) this.#ends.delete(oldest)
    const { tenant, name } = lock
    const end = { lock: { tenant, name }, claim, until: this.#around.now() + forMs }
    this.#ends.set(`${lockId(lock)}\n${claim}`, end)
    this.#soon(0)
  }

  /** Tries all of them once more, at the end. */
  async close(): Promise<void> {
    await this.#tying
    this.#cancel?.()
    await this.#tieAll()
    this.#cancel?.()
    this.#ends.clear()
  }

  #soon(ms: number): void {
    if (this.#tying) return
    this.#cancel?.()
    this.#cancel = this.#around.after(ms, () => {
      this.#tying = this.#tieAll().finally(() => {
        this.#tying = undefined
        if (this.#ends.size > 0) this.#soon(PAUSE_MS)
      })
    })
  }

  async #tieAll(): Promise<void> {
    await Promise.all(
      [...this.#ends].map(async ([id, { lock, claim, until }]) => {
        try {
          if (this.#around.now() < until) await this.#giveBack({ ...lock, claim })
          this.#ends.delete(id)
        } catch (error) {
          // Whatever else it is would be the same the next time.
          if (!(error instanceof SpillwayError && error.temporary)) this.#ends.delete(id)
        }
      }),
    )
  }
}
