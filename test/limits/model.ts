import type { Algorithm } from '../../src/limits/limits.js'

/** What the model is asked: a limit in numbers, and what the request weighs. */
export interface Numbers {
  readonly algorithm: Algorithm
  readonly max: number
  readonly perMs: number
}

/** One limit by its definition, over a time that is given to it: slow, with whole numbers of any size. */
export interface LimitModel {
  /** What is used of it, times `perMs`. */
  used(now: number): bigint
  count(now: number, cost: number, id: string): void
  /** Whether there is such a lease. */
  holds(now: number, id: string): boolean
  renew(now: number, id: string): void
  release(id: string): void
  copy(): LimitModel
}

export function modelOf({ algorithm, max, perMs }: Numbers): LimitModel {
  switch (algorithm) {
    case 'fixed':
      return new Fixed(perMs)
    case 'sliding':
      return new Sliding(perMs)
    case 'token-bucket':
      return new Tokens(max, perMs)
    default:
      return new Entries(perMs)
  }
}

/** Whether a request of that weight would pass. */
export function wouldPass(model: LimitModel, { max, perMs }: Numbers, now: number, cost: number): boolean {
  return model.used(now) + BigInt(cost * perMs) <= BigInt(max * perMs)
}

/** ms until it would pass, found by trying every one. */
export function untilPass(model: LimitModel, numbers: Numbers, now: number, cost: number): number {
  for (let ms = 0; ; ms++) if (wouldPass(model, numbers, now + ms, cost)) return ms
}

/** ms until nothing is used. */
export function untilWhole(model: LimitModel, now: number): number {
  for (let ms = 0; ; ms++) if (model.used(now + ms) === 0n) return ms
}

export function left(model: LimitModel, { max, perMs }: Numbers, now: number): number {
  const whole = (BigInt(max * perMs) - model.used(now)) / BigInt(perMs)
  return Number(whole < 0n ? 0n : whole)
}

/** A window of `per` ms begins with the first request that is counted after the last one has ended. */
class Fixed implements LimitModel {
  #begun: number | undefined
  #count = 0
  readonly #per: number
  constructor(per: number) {
    this.#per = per
  }
  used(now: number) {
    return this.#begun !== undefined && now < this.#begun + this.#per ? BigInt(this.#count * this.#per) : 0n
  }
  count(now: number, cost: number) {
    if (this.#begun === undefined || now >= this.#begun + this.#per) {
      this.#begun = now
      this.#count = 0
    }
    this.#count = Math.max(0, this.#count + cost)
  }
  holds() {
    return false
  }
  renew() {}
  release() {}
  copy() {
    return copied(new Fixed(this.#per), (other) => {
      other.#begun = this.#begun
      other.#count = this.#count
    })
  }
}

/** Windows follow each other from the first request on; two that are empty end the row. */
class Sliding implements LimitModel {
  #begun: number | undefined
  #counts = new Map<number, number>()
  readonly #per: number
  constructor(per: number) {
    this.#per = per
  }
  #index(now: number): number | undefined {
    if (this.#begun === undefined) return undefined
    const index = Math.floor((now - this.#begun) / this.#per)
    const last = Math.max(...this.#counts.keys())
    return index - last >= 2 ? undefined : index
  }
  used(now: number) {
    const index = this.#index(now)
    if (index === undefined || this.#begun === undefined) return 0n
    const within = now - this.#begun - index * this.#per
    const [before, current] = [this.#counts.get(index - 1) ?? 0, this.#counts.get(index) ?? 0]
    return BigInt(current) * BigInt(this.#per) + BigInt(before) * BigInt(this.#per - within)
  }
  count(now: number, cost: number) {
    let index = this.#index(now)
    if (index === undefined) {
      this.#begun = now
      this.#counts = new Map()
      index = 0
    }
    this.#counts.set(index, Math.max(0, (this.#counts.get(index) ?? 0) + cost))
  }
  holds() {
    return false
  }
  renew() {}
  release() {}
  copy() {
    return copied(new Sliding(this.#per), (other) => {
      other.#begun = this.#begun
      other.#counts = new Map(this.#counts)
    })
  }
}

/** GCRA by the time at which the bucket will be full again, in ms times `max`. */
class Tokens implements LimitModel {
  #full = 0n
  readonly #max: bigint
  readonly #per: bigint
  constructor(max: number, per: number) {
    this.#max = BigInt(max)
    this.#per = BigInt(per)
  }
  used(now: number) {
    const due = this.#full - BigInt(now) * this.#max
    return due < 0n ? 0n : due
  }
  count(now: number, cost: number) {
    const at = BigInt(now) * this.#max
    const full = (this.#full > at ? this.#full : at) + BigInt(cost) * this.#per
    this.#full = full > at ? full : at
  }
  holds() {
    return false
  }
  renew() {}
  release() {}
  copy() {
    return copied(new Tokens(Number(this.#max), Number(this.#per)), (other) => {
      other.#full = this.#full
    })
  }
}

/** Each request for itself, until its time is over or it is released. */
class Entries implements LimitModel {
  #entries: { id: string; cost: number; ends: number }[] = []
  readonly #per: number
  constructor(per: number) {
    this.#per = per
  }
  used(now: number) {
    const live = this.#entries.filter(({ ends }) => ends > now)
    return BigInt(live.reduce((sum, { cost }) => sum + cost, 0) * this.#per)
  }
  count(now: number, cost: number, id: string) {
    this.#entries.push({ id, cost, ends: now + this.#per })
  }
  holds(now: number, id: string) {
    return this.#entries.some((entry) => entry.id === id && entry.ends > now)
  }
  renew(now: number, id: string) {
    for (const entry of this.#entries) {
      if (entry.id === id) entry.ends = Math.max(entry.ends, now + this.#per)
    }
  }
  release(id: string) {
    this.#entries = this.#entries.filter((entry) => entry.id !== id)
  }
  copy() {
    return copied(new Entries(this.#per), (other) => {
      other.#entries = this.#entries.map((entry) => ({ ...entry }))
    })
  }
}

function copied<T>(other: T, fill: (other: T) => void): T {
  fill(other)
  return other
}
