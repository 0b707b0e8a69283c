import type { Reign, Term } from '../../../src/term/term.js'
import type { Checker } from './checker.js'
import type { Off } from './guards.js'
import type { SimPostgres, SimTable } from './postgres.js'
import type { SimMarkers } from './redis.js'
import type { Stored } from './stored.js'
import type { Host } from './world.js'

/** What a capability of one instance works with. */
export interface ClientParts {
  readonly host: Host
  readonly who: string
  readonly term: Term
  readonly table: SimTable
  readonly postgres: SimPostgres
  readonly markers: SimMarkers
  readonly checker: Checker
  readonly off: Off
  readonly longestMs: number
}

/** The time-out of an operation of record. */
const OPERATION_MS = 400

/** What a store does in one step; undefined: it has not done it. */
type Step<T> = (stored: Stored, now: number, reign: Reign, inQuarantine: boolean) => T | undefined

/** One atomic step on the store that reigns, which refuses it under another number. */
export async function operate<T>(parts: ClientParts, kind: string, step: Step<T>): Promise<T | undefined> {
  const { who, term, table, markers, postgres, checker, off } = parts
  let of: Reign | undefined
  const answer = await term.operate(async (reign) => {
    of = reign
    const carryOut = (stored: Stored, now: number) => {
      checker.carriedOut(who, kind, stored, reign.number)
      return step(stored, now, reign, postgres.inQuarantine(reign.number))
    }
    if (reign.store === 'redis') {
      return markers.send(kind, (redis) => {
        const fits = redis.data.marker === reign.sign
        return fits || off.has('marker') ? carryOut(redis.data, redis.now()) : undefined
      })
    }
    const fits = ({ number, store, phase }: SimPostgres['row']) =>
      number === reign.number && store === 'postgres' && phase === 'open'
    return table.change(
      kind,
      (row) =>
        fits(row) || off.has('statements check the term')
          ? carryOut(postgres.stored, postgres.now())
          : undefined,
      OPERATION_MS,
    )
  })
  if (of && answer !== undefined) checker.counted(of.number, of.store)
  return answer
}
