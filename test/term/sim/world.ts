import type { Surroundings } from '../../../src/term/ports.js'

interface Entry {
  readonly at: number
  readonly order: number
  go: (() => void) | undefined
}

/** True time and chance of one run: events in their order, one at a time. */
export class World {
  now = 0
  readonly #heap: Entry[] = []
  #order = 0
  #state: number

  constructor(seed: number) {
    this.#state = (seed * 2_654_435_761) >>> 0
  }

  /** From 0 to 1. */
  readonly random = (): number => {
    this.#state = (this.#state + 0x6d2b79f5) >>> 0
    let x = this.#state
    x = Math.imul(x ^ (x >>> 15), x | 1)
    x ^= x + Math.imul(x ^ (x >>> 7), x | 61)
    return ((x ^ (x >>> 14)) >>> 0) / 4_294_967_296
  }

  between(low: number, high: number): number {
    return low + (high - low) * this.random()
  }

  chance(share: number): boolean {
    return this.random() < share
  }

  pick<T>(items: readonly T[]): T {
    return items[Math.floor(this.random() * items.length)] as T
  }

  /** Calls at a true time; the answer takes it back. */
  at(time: number, go: () => void): () => void {
    const entry: Entry = { at: Math.max(time, this.now), order: this.#order++, go }
    const heap = this.#heap
    let i = heap.push(entry) - 1
    while (i > 0) {
      const up = (i - 1) >> 1
      if (!before(entry, heap[up] as Entry)) break
      heap[i] = heap[up] as Entry
      i = up
    }
    heap[i] = entry
    return () => {
      entry.go = undefined
    }
  }

  in(ms: number, go: () => void): () => void {
    return this.at(this.now + ms, go)
  }

  /** Lets the next event happen, unless it lies beyond `until`. */
  step(until: number): boolean {
    for (;;) {
      const next = this.#heap[0]
      if (!next || next.at > until) {
        this.now = until
        return false
      }
      this.#drop()
      if (!next.go) continue
      this.now = next.at
      next.go()
      return true
    }
  }

  #drop(): void {
    const heap = this.#heap
    const last = heap.pop() as Entry
    const size = heap.length
    if (size === 0) return
    let i = 0
    for (;;) {
      let child = 2 * i + 1
      if (child >= size) break
      if (child + 1 < size && before(heap[child + 1] as Entry, heap[child] as Entry)) child += 1
      if (!before(heap[child] as Entry, last)) break
      heap[i] = heap[child] as Entry
      i = child
    }
    heap[i] = last
  }
}

const before = (a: Entry, b: Entry) => a.at < b.at || (a.at === b.at && a.order < b.order)

/** A process: its monotonic clock, which may run fast or slow, and what happens in it, which may be held up. */
export class Host implements Surroundings {
  readonly world: World
  readonly rate: number
  readonly random: () => number
  alive = true
  readonly #offset: number
  #paused = false
  #held: (() => void)[] = []

  constructor(world: World, rate: number) {
    this.world = world
    this.rate = rate
    this.random = world.random
    this.#offset = world.between(0, 1e6)
  }

  now(): number {
    return this.world.now * this.rate + this.#offset
  }

  after(ms: number, go: () => void): () => void {
    let off = false
    const cancel = this.world.in(Math.max(ms, 0) / this.rate, () => this.happen(() => off || go()))
    return () => {
      off = true
      cancel()
    }
  }

  wait(ms: number): Promise<void> {
    return new Promise((resolve) => this.after(ms, resolve))
  }

  /** Something comes to this process: now, when it runs again, or never. */
  happen(go: () => void): void {
    if (!this.alive) return
    if (this.#paused) this.#held.push(go)
    else go()
  }

  pause(forMs: number): void {
    if (this.#paused) return
    this.#paused = true
    this.world.in(forMs, () => this.resume())
  }

  resume(): void {
    this.#paused = false
    const held = this.#held
    this.#held = []
    // One at a time, as an event loop that wakes up does.
    for (const go of held) this.world.in(0, () => this.happen(go))
  }
}
