import type { Cursor } from './cursor.js'
import type { CursorBase } from './multi-cursor.js'

/** Bases that this process has stored lately, and for how long they serve others too: far less than a row lives. */
const SHARED = 256
const SHARED_MS = 3_600_000

/** Where texts of places are kept, each under a number that no other one of its tenant has or had. */
export interface BaseStore {
  insert(tenant: string, places: string): Promise<number>
  /** Keeps it for another day. */
  load(tenant: string, id: number): Promise<string | undefined>
}

/** Keeps the places that long cursors refer to, for a day after the last use. Errors: `STORE_UNAVAILABLE` (temporary). */
export class CursorBases {
  readonly #store: BaseStore
  readonly #shared = new Map<string, { readonly base: Promise<CursorBase>; readonly until: number }>()

  constructor(store: BaseStore) {
    this.#store = store
  }

  /** A base at these places. Readers that stand at the same places share one: opening stores nothing anew. */
  store(tenant: string, places: readonly Cursor[]): Promise<CursorBase> {
    const text = JSON.stringify(places.map(({ term, seq }) => [term, seq]))
    // A tenant's name holds no control character.
    const key = `${tenant}\n${text}`
    const now = performance.now()
    const shared = this.#shared.get(key)
    if (shared && shared.until > now) return shared.base
    this.#shared.delete(key)
    const base = this.#insert(tenant, text, [...places])
    this.#shared.set(key, { base, until: now + SHARED_MS })
    base.catch(() => this.#shared.delete(key))
    const [oldest] = this.#shared.keys()
    if (this.#shared.size > SHARED && oldest !== undefined) this.#shared.delete(oldest)
    return base
  }

  /** The store may have lost what it was given: from now on it is given anew. */
  renew(): void {
    this.#shared.clear()
  }

  async #insert(tenant: string, text: string, places: readonly Cursor[]): Promise<CursorBase> {
    return { id: await this.#store.insert(tenant, text), places }
  }

  /** The places, which are then kept for another day. */
  async load(tenant: string, id: number): Promise<readonly Cursor[] | undefined> {
    const text = await this.#store.load(tenant, id)
    return text === undefined
      ? undefined
      : (JSON.parse(text) as [number, number][]).map(([term, seq]) => ({ term, seq }))
  }
}
