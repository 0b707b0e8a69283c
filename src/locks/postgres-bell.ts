import type { Database } from '../postgres/client.js'
import type { Bell } from './bells.js'
import type { Line } from './line.js'

const CHANNEL = 'spillway_locks'
/** Between two NOTIFYs of a process: each takes PostgreSQL's global lock at its commit. */
const PAUSE_MS = 10
/** PostgreSQL takes payloads below 8,000 bytes. */
const CLAIMS = 200

/** On PostgreSQL a notice with the claims whose turn it is, off the way of those who give back. */
export class PostgresBell implements Bell {
  readonly #db: Database
  readonly #line: Line
  readonly #next = new Set<string>()
  #timer: NodeJS.Timeout | undefined
  #sentAt = Number.NEGATIVE_INFINITY
  #sending: Promise<void> = Promise.resolve()
  #listening: Promise<() => Promise<void>> | undefined
  #works = false
  #closed = false

  constructor(db: Database, line: Line) {
    this.#db = db
    this.#line = line
  }

  get works(): boolean {
    // PGlite has no other process: all who wait are told directly.
    return this.#works || this.#db.kind === 'embedded'
  }

  watch(): void {
    if (this.#db.kind === 'embedded' || this.#closed) return
    this.#listening ??= this.#db.listen(CHANNEL, {
      heard: (payload) => this.#heard(payload),
      hearing: (works) => {
        this.#works = works
        if (works) this.#line.ringAll()
      },
    })
  }

  unwatch(): void {}

  tell(claim: string): void {
    if (this.#db.kind === 'embedded' || this.#closed) return
    this.#next.add(claim)
    const rest = this.#sentAt + PAUSE_MS - performance.now()
    this.#timer ??= setTimeout(() => this.#send(), Math.max(0, rest))
  }

  async close(): Promise<void> {
    this.#closed = true
    clearTimeout(this.#timer)
    if (this.#next.size > 0) this.#send()
    await this.#sending
    const stop = await this.#listening
    await stop?.()
  }

  #send(): void {
    this.#timer = undefined
    this.#sentAt = performance.now()
    const payload = this.#next.size > CLAIMS ? '*' : [...this.#next].join(' ')
    this.#next.clear()
    this.#sending = this.#db
      .query('SELECT pg_notify($1, $2)', [CHANNEL, payload])
      // A hint that was not sent is a hint that was lost: who waits asks again by itself.
      .then(
        () => undefined,
        () => undefined,
      )
  }

  #heard(payload: string): void {
    if (payload === '*') this.#line.ringAll()
    else for (const claim of payload.split(' ')) this.#line.ring(claim)
  }
}
