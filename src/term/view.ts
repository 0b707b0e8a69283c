import { faultOf } from '../redis/errors.js'
import type { Surroundings, TermRedis, View } from './ports.js'
import type { Timing } from './timing.js'

/**
 * What this instance sees of Redis: `ok` when it has answered for a while, `down` after two failed looks in a row.
 * A refusal that is our own mistake (no permission, a wrong type) is never `down`: another store would not mend it.
 */
export class RedisView {
  readonly #redis: TermRedis
  readonly #timing: Timing
  readonly #around: Surroundings
  readonly #changed: () => void
  #view: View = 'unsure'
  #identity: string | null = null
  #marker: string | null = null
  #problem: string | null = null
  #okSince: number | undefined
  #failed = 0
  #cancel: (() => void) | undefined
  #looking = false
  #again = false
  #lookedAt = Number.NEGATIVE_INFINITY
  #closed = false

  constructor(redis: TermRedis, timing: Timing, around: Surroundings, changed: () => void) {
    this.#redis = redis
    this.#timing = timing
    this.#around = around
    this.#changed = changed
  }

  get view(): View {
    return this.#view
  }

  /** When the last look that was answered began. */
  get lookedAt(): number {
    return this.#lookedAt
  }

  /** What the last look failed with. */
  get problem(): string | null {
    return this.#problem
  }

  get identity(): string | null {
    return this.#identity
  }

  get marker(): string | null {
    return this.#marker
  }

  /** Looks now, and goes on looking. */
  async look(): Promise<void> {
    if (this.#closed) return
    if (this.#looking) {
      this.#again = true
      return
    }
    this.#looking = true
    this.#cancel?.()
    const begun = this.#around.now()
    try {
      const { identity, marker } = await this.#redis.look()
      this.#failed = 0
      this.#problem = null
      this.#lookedAt = begun
      const now = this.#around.now()
      this.#okSince ??= now
      this.#set(now - this.#okSince >= this.#timing.okMs ? 'ok' : 'unsure', identity, marker)
    } catch (error) {
      this.#okSince = undefined
      this.#problem = error instanceof Error ? error.message : String(error)
      if (faultOf(error)?.kind === 'down') this.#failed += 1
      else this.#failed = 0
      this.#set(this.#failed >= 2 ? 'down' : 'unsure', this.#identity, this.#marker)
    }
    this.#looking = false
    if (this.#closed) return
    const pause = this.#again ? 0 : this.#failed > 0 ? this.#timing.probeMs / 4 : this.#timing.probeMs
    this.#again = false
    this.#cancel = this.#around.after(pause, () => void this.look())
  }

  close(): void {
    this.#closed = true
    this.#cancel?.()
  }

  #set(view: View, identity: string | null, marker: string | null): void {
    const same = view === this.#view && identity === this.#identity && marker === this.#marker
    this.#view = view
    this.#identity = identity
    this.#marker = marker
    if (!same) this.#changed()
  }
}
