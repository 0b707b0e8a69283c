import type { Algorithm, Limit } from './limits.js'

/**
 * A counter's state. `fixed`: `a` were counted since its window began. `sliding`: `a` in the window before, `b` in this
 * one. `token-bucket`: `a` is what has to drain before it is full again, in units times `perMs`, so that all numbers are
 * whole; `max` of it drain a ms. What it lets pass only grows with its age: a younger one is never too generous.
 */
export interface Counter {
  readonly a: number
  readonly b: number
  /** ms since its window began, or since `a` was right. */
  readonly age: number
}

type Numbers = Pick<Limit, 'algorithm' | 'max' | 'perMs' | 'cost'>

export const EMPTY: Counter = { a: 0, b: 0, age: 0 }

/** Whether its state is a list of what was let pass, and no counter. */
export function hasEntries(algorithm: Algorithm): boolean {
  return algorithm === 'sliding-log' || algorithm === 'concurrency'
}

/** The counter as it stands after its age: what is over is gone. */
export function settled({ a, b, age }: Counter, { algorithm, max, perMs }: Numbers): Counter {
  if (algorithm === 'token-bucket') return { a: Math.max(0, a - age * max), b: 0, age: 0 }
  if (algorithm === 'sliding' && age >= perMs && age < 2 * perMs) return { a: b, b: 0, age: age - perMs }
  return age >= perMs ? EMPTY : { a, b, age }
}

/** Of a settled counter. */
export function hasRoom({ a, b, age }: Counter, { algorithm, max, perMs, cost }: Numbers): boolean {
  if (algorithm === 'sliding') return (b + cost) * perMs + a * (perMs - age) <= max * perMs
  const unit = algorithm === 'token-bucket' ? perMs : 1
  return a + cost * unit <= max * unit
}

/** A settled counter with the cost counted. */
export function counted({ a, b, age }: Counter, { algorithm, perMs, cost }: Numbers): Counter {
  if (algorithm === 'sliding') return { a, b: Math.max(0, b + cost), age }
  return { a: Math.max(0, a + cost * (algorithm === 'token-bucket' ? perMs : 1)), b, age }
}

/** What may still be taken of a settled counter. */
export function remaining({ a, b, age }: Counter, { algorithm, max, perMs }: Numbers): number {
  if (algorithm === 'fixed') return Math.max(0, max - a)
  const used = algorithm === 'sliding' ? b * perMs + a * (perMs - age) : a
  return Math.max(0, Math.floor((max * perMs - used) / perMs))
}

/** ms until a settled counter is as if nothing had been taken. */
export function untilReset({ a, b, age }: Counter, { algorithm, max, perMs }: Numbers): number {
  if (algorithm === 'token-bucket') return Math.ceil(a / max)
  if (algorithm === 'sliding' && b > 0) return 2 * perMs - age
  return a > 0 ? perMs - age : 0
}

/** ms until a settled counter without room has some for the cost, if nothing else is taken. */
export function untilRoom({ a, b, age }: Counter, { algorithm, max, perMs, cost }: Numbers): number {
  if (algorithm === 'fixed') return perMs - age
  if (algorithm === 'token-bucket') return Math.ceil((a + (cost - max) * perMs) / max)
  if (b + cost <= max) return perMs - Math.floor(((max - b - cost) * perMs) / a) - age
  // Not before this window has become the one before.
  return perMs - age + perMs - Math.floor(((max - cost) * perMs) / b)
}
