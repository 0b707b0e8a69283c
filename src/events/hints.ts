import { createHash } from 'node:crypto'
import type { Database } from '../postgres/client.js'
import type { Live } from './live.js'

const CHANNEL = 'spillway'
/** Between two NOTIFYs of a process: each takes PostgreSQL's global lock at its commit. */
const PAUSE_MS = 10
/** PostgreSQL takes payloads below 8,000 bytes; a mark takes 9. */
const MARKS = 800

/**
 * Tells other processes which flows were written to, by coalesced NOTIFY off the write path. A notice holds
 * marks of the flows, not their names: the channel is open to everybody in the database. Losing one costs
 * time, never an event.
 */
export class Hints {
  readonly #db: Database
  readonly #live: Live
  /** Whether nothing else brings hints. */
  readonly #alone: boolean
  #touched = new Set<string>()
  #timer: NodeJS.Timeout | undefined
  #sending: Promise<void> = Promise.resolve()
  #stop: (() => Promise<void>) | undefined
  #closed = false

  constructor(db: Database, live: Live, { alone = true } = {}) {
    this.#db = db
    this.#live = live
    this.#alone = alone
  }

  async start(): Promise<void> {
    this.#stop = await this.#db.listen(CHANNEL, {
      heard: (payload) => this.#heard(payload),
      hearing: (works) => this.#alone && this.#live.hearing(works),
    })
  }

  /** A flow was written to by this process. */
  touched(tag: string): void {
    // PGlite has no other process to tell.
    if (this.#db.kind === 'embedded' || this.#closed) return
    this.#touched.add(tag)
    this.#timer ??= setTimeout(() => this.#send(), PAUSE_MS)
  }

  async close(): Promise<void> {
    this.#closed = true
    clearTimeout(this.#timer)
    if (this.#touched.size > 0) this.#send()
    await this.#sending
    await this.#stop?.()
  }

  #send(): void {
    this.#timer = undefined
    const tags = [...this.#touched]
    this.#touched.clear()
    const payload = tags.length > MARKS ? '*' : tags.map(mark).join(' ')
    this.#sending = this.#db
      .query('SELECT pg_notify($1, $2)', [CHANNEL, payload])
      // A hint that was not sent is a hint that was lost: the backstop does its work.
      .then(
        () => undefined,
        () => undefined,
      )
  }

  #heard(payload: string): void {
    const touched = new Set(payload.split(' '))
    this.#live.hinted(payload === '*' ? 'all' : this.#live.tags((tag) => touched.has(mark(tag))))
  }
}

const marks = new Map<string, string>()

/** Eight characters that stand for a flow; two flows that share them only cost a look. */
function mark(tag: string): string {
  let found = marks.get(tag)
  if (!found) {
    found = createHash('sha256').update(tag).digest('base64url').slice(0, 8)
    if (marks.size > 50_000) marks.clear()
    marks.set(tag, found)
  }
  return found
}
