import type { Lease } from './limits.js'

interface Owed {
  readonly lease: Lease
  /** When it is over anyway; of `performance.now()`. */
  readonly until: number
}

const AGAIN_MS = 500
const MOST = 10_000
const AT_ONCE = 200

/** Ends leases; what no store took in time is tried again until the lease is over. */
export class Releases {
  readonly #release: (leases: readonly Lease[]) => Promise<number>
  readonly #owed = new Map<string, Owed>()
  #timer: NodeJS.Timeout | undefined
  #closed = false

  constructor(release: (leases: readonly Lease[]) => Promise<number>) {
    this.#release = release
  }

  /** Answers whether it was there. */
  async end(lease: Lease, longestMs: number): Promise<boolean> {
    try {
      return (await this.#release([lease])) > 0
    } catch {
      this.owe(lease, longestMs)
      return false
    }
  }

  owe(lease: Lease, longestMs: number): void {
    if (this.#closed || this.#owed.size >= MOST) return
    this.#owed.set(lease.id, { lease, until: performance.now() + longestMs })
    this.#later(0)
  }

  close(): void {
    this.#closed = true
    clearTimeout(this.#timer)
  }

  #later(ms: number): void {
    this.#timer ??= setTimeout(() => void this.#again(), ms).unref()
  }

  async #again(): Promise<void> {
    const now = performance.now()
    for (const [id, { until }] of this.#owed) if (until <= now) this.#owed.delete(id)
    const some = [...this.#owed.values()].slice(0, AT_ONCE)
    let done = false
    if (some.length > 0) {
      done = await this.#release(some.map(({ lease }) => lease)).then(
        () => true,
        () => false,
      )
    }
    if (done) for (const { lease } of some) this.#owed.delete(lease.id)
    this.#timer = undefined
    if (this.#owed.size > 0 && !this.#closed) this.#later(done ? 0 : AGAIN_MS)
  }
}
