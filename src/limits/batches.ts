import { hasEntries } from './counters.js'
import type { Limit, Outcome, Take, Told } from './limits.js'

/** Limits of takes that one script decides: others wait for some tenths of a ms (bench/limits). */
const AT_ONCE = 256

/** What one script is asked; take.lua describes it. */
export interface Batch {
  readonly keys: string[]
  readonly numbers: (string | number)[]
  readonly words: (string | number)[]
  /** Its takes, by their places among all. */
  readonly takes: number[]
  /** Its limits, each once, by key. */
  readonly places: Map<string, number>
  readonly limits: Limit[]
  count: number
}

/** Takes that lie beside the same marker together, in their order; a limit has the same numbers in all of a batch. */
export function batchesOf(takes: readonly Take[], markerOf: (limit: Limit) => string): Batch[] {
  const open = new Map<string, Batch>()
  const batches: Batch[] = []
  takes.forEach((take, place) => {
    const marker = markerOf(take.limits[0] as Limit)
    const last = open.get(marker)
    if (last && add(last, take, place)) return
    const batch = {
      keys: [marker],
      numbers: [],
      words: [],
      takes: [],
      places: new Map(),
      limits: [],
      count: 0,
    }
    open.set(marker, batch)
    batches.push(batch)
    add(batch, take, place)
  })
  return batches
}

/** False if it does not fit into this one. */
function add(batch: Batch, { id, limits }: Take, take: number): boolean {
  const { keys, numbers, words, places } = batch
  if (batch.count > 0 && batch.count + limits.length > AT_ONCE) return false
  const begun = words.length
  words.push(limits.length, id)
  for (const limit of limits) {
    let place = places.get(limit.key)
    if (place === undefined) {
      place = batch.limits.push(limit)
      places.set(limit.key, place)
      keys.push(limit.key)
      numbers.push(limit.algorithm, limit.max, limit.perMs)
    } else {
      const known = batch.limits[place - 1] as Limit
      if (known.max !== limit.max || known.perMs !== limit.perMs) {
        // The limits that it has brought stay without a take, which changes nothing.
        words.length = begun
        return false
      }
    }
    words.push(place, limit.cost)
  }
  batch.takes.push(take)
  batch.count += limits.length
  return true
}

/** Reads the numbers that take.lua answers. */
export function readInto(
  outcomes: Outcome[],
  numbers: readonly number[],
  { takes: own, words, limits }: Batch,
  takes: readonly Take[],
): void {
  const tail = numbers.length - 2 * limits.length
  let [at, word] = [0, 0]
  for (const take of own) {
    const allowed = numbers[at] === 1
    at += 1
    word += 2
    const told: Told[] = []
    for (const { algorithm } of (takes[take] as Take).limits) {
      const room = allowed || numbers[at] === 1
      if (!allowed) at += 1
      const value = numbers[at] as number
      if (hasEntries(algorithm)) {
        told.push({ room, a: value, b: numbers[at + 1] as number, age: numbers[at + 2] as number })
        at += 3
      } else {
        const rest = tail + 2 * ((words[word] as number) - 1)
        const other = numbers[rest] as number
        const age = numbers[rest + 1] as number
        told.push(
          algorithm === 'sliding' ? { room, a: other, b: value, age } : { room, a: value, b: other, age },
        )
        at += 1
      }
      word += 2
    }
    outcomes[take] = { allowed, told }
  }
}
