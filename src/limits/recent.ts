/**
 * A map of what was used lately, bounded: two generations, of which the older one goes when the younger one is full.
 * Holds the last `size` at least and twice as many at most, for the price of a plain map.
 */
export class Recent<V> {
  readonly #size: number
  #young = new Map<string, V>()
  #old = new Map<string, V>()

  constructor(size: number) {
    this.#size = size
  }

  get empty(): boolean {
    return this.#young.size === 0 && this.#old.size === 0
  }

  get(key: string): V | undefined {
    return this.#young.get(key) ?? this.#old.get(key)
  }

  /** Only if it would stay without being set again. */
  young(key: string): V | undefined {
    return this.#young.get(key)
  }

  set(key: string, value: V): void {
    if (this.#young.size >= this.#size && !this.#young.has(key)) {
      this.#old = this.#young
      this.#young = new Map()
    }
    this.#young.set(key, value)
  }

  delete(key: string): void {
    this.#young.delete(key)
    this.#old.delete(key)
  }

  clear(): void {
    this.#young.clear()
    this.#old.clear()
  }

  /** Each key once, with its newest value. */
  *entries(): Generator<[string, V]> {
    yield* this.#young
    for (const entry of this.#old) if (!this.#young.has(entry[0])) yield entry
  }
}
