import { setTimeout as delay } from 'node:timers/promises'
import type { Cursor } from '../events/cursor.js'
import { parseCursor } from '../events/cursor.js'
import type { CursorBases } from '../events/cursor-bases.js'
import type { Delivery } from '../events/delivery.js'
import type { Live } from '../events/live.js'
import {
  applyMoves,
  type CursorBase,
  cursorMark,
  formatMultiCursor,
  hasRoom,
  parseMultiCursor,
} from '../events/multi-cursor.js'
import { type Start, Subscription } from '../events/subscription.js'
import type { Connection } from './connection.js'
import { bodies, idFrame } from './sse.js'

export interface MultiReaderOptions {
  readonly live: Live
  readonly bases: CursorBases
  readonly connection: Connection
  readonly tenant: string
  readonly flows: readonly string[]
}

/** One stream over several flows: a subscription each, and one cursor that tells how far all of them are. */
export class MultiReader {
  readonly #options: MultiReaderOptions
  readonly #flows: readonly string[]
  readonly #mark: Buffer
  readonly #places: Cursor[] = []
  readonly #abort = new AbortController()
  /** Deliveries that wait for a cursor base; each subscription has one here at most. */
  #held: { readonly index: number; readonly delivery: Delivery }[] = []
  /** Subscriptions that were told to wait. */
  readonly #waiting = new Set<number>()
  #catchingUp = false
  #subscriptions: Subscription[] = []
  #base: CursorBase | undefined
  #opened = 0
  #ready = false

  constructor(options: MultiReaderOptions) {
    this.#options = options
    // Each once and in one order, so that a cursor does not depend on how the flows were named.
    this.#flows = [...new Set(options.flows)].sort()
    this.#mark = cursorMark(options.tenant, this.#flows)
  }

  async start(cursor: string | undefined): Promise<void> {
    const starts = await this.#starts(cursor)
    if (this.#abort.signal.aborted) return
    this.#subscriptions = this.#flows.map((flow, index) => {
      const feed = this.#options.live.feed({ tenant: this.#options.tenant, flow })
      return new Subscription(feed, starts[index] ?? 'now', {
        opened: (place) => this.#placed(index, place),
        deliver: (delivery) => {
          const more = this.#deliver(index, delivery)
          if (!more) this.#waiting.add(index)
          return more
        },
      })
    })
  }

  close(): void {
    this.#abort.abort()
    for (const subscription of this.#subscriptions) subscription.close()
  }

  async #starts(cursor: string | undefined): Promise<readonly Start[]> {
    const all = (start: Start) => this.#flows.map(() => start)
    if (cursor === undefined) return all('now')
    const beginning = parseCursor(cursor)
    if (beginning?.seq === 0) return all(beginning)
    const parsed = parseMultiCursor(cursor, this.#mark, this.#flows.length)
    if (!parsed) return all('invalid')
    if ('places' in parsed) return parsed.places
    const places = await this.#patiently(() => this.#options.bases.load(this.#options.tenant, parsed.base))
    if (places?.length !== this.#flows.length) return all('invalid')
    // Kept while it has room: who only reconnects stores nothing.
    this.#base = { id: parsed.base, places }
    return applyMoves(places, parsed.moves)
  }

  #placed(index: number, place: Cursor): boolean {
    this.#places[index] = place
    this.#waiting.add(index)
    this.#opened += 1
    // Not within this call: the subscription is on its way to wait, and some may not be made yet.
    if (this.#opened === this.#flows.length) queueMicrotask(() => void this.#begin())
    return false
  }

  async #begin(): Promise<void> {
    const cursor = this.#cursor()
    if (cursor === undefined || !hasRoom(cursor)) await this.#rebase()
    if (this.#abort.signal.aborted) return
    this.#options.connection.write(idFrame(this.#cursor() as string))
    this.#release()
  }

  #deliver(index: number, delivery: Delivery): boolean {
    if (!this.#ready) {
      this.#held.push({ index, delivery })
      return false
    }
    return this.#write(index, delivery)
  }

  #write(index: number, delivery: Delivery): boolean {
    const texts = delivery.once(bodies)
    let frames = ''
    let cursor = ''
    for (const [i, item] of delivery.items.entries()) {
      this.#places[index] = item.cursor
      cursor = this.#cursor() as string
      frames += `id: ${cursor}\n${texts[i]}`
    }
    const { connection } = this.#options
    const more = connection.write(frames)
    if (!hasRoom(cursor)) {
      this.#ready = false
      void this.#rebase().then(() => this.#release())
      return false
    }
    if (!more) this.#whenRoomy()
    return more
  }

  /** Hands out what was held, then goes on. Stops again where the cursor runs out of room. */
  #release(): void {
    if (this.#abort.signal.aborted) return
    this.#ready = true
    while (this.#ready) {
      const next = this.#held.shift()
      if (!next) break
      this.#write(next.index, next.delivery)
    }
    if (this.#ready) this.#whenRoomy()
  }

  #whenRoomy(): void {
    const { connection } = this.#options
    if (connection.roomy) void this.#catchUp()
    else if (connection.open) connection.onDrain(() => void this.#catchUp())
  }

  /**
   * Lets those that wait go on, one after another: all at once they would each bring a page of the log to a
   * connection that has room for one.
   */
  async #catchUp(): Promise<void> {
    if (this.#catchingUp) return
    this.#catchingUp = true
    for (const index of this.#waiting) {
      if (!this.#ready || !this.#options.connection.roomy) break
      this.#waiting.delete(index)
      await this.#subscriptions[index]?.resume()
    }
    this.#catchingUp = false
  }

  #cursor(): string | undefined {
    return formatMultiCursor(this.#mark, this.#places, this.#base)
  }

  async #rebase(): Promise<void> {
    const places = [...this.#places]
    this.#base = await this.#patiently(() => this.#options.bases.store(this.#options.tenant, places))
  }

  /** Tries until the store answers: the stream waits, open. */
  async #patiently<T>(work: () => Promise<T>): Promise<T | undefined> {
    for (let attempt = 0; !this.#abort.signal.aborted; attempt++) {
      try {
        return await work()
      } catch {
        // Any failure of the store is a reason to wait: the reader's place is safe in its own cursor.
        await delay(Math.min(1000, 50 * 2 ** attempt), undefined, { signal: this.#abort.signal }).catch(
          () => undefined,
        )
      }
    }
    return undefined
  }
}
