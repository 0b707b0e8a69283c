import type { StoreName } from '../../../../src/term/term.js'
import type { Fleet, Life } from '../fleet.js'

/** Time after which every fleet reigns on Redis, with leases there. */
const SETTLED_MS = 5000

/** Calls as soon as it holds; looked at every ms. */
export function once(fleet: Fleet, holds: () => boolean, go: () => void): void {
  if (holds()) go()
  else fleet.world.in(1, () => once(fleet, holds, go))
}

/** Calls with the three when they are at work on Redis. */
export function settled(fleet: Fleet, go: (a: Life, b: Life, c: Life) => void): void {
  fleet.world.in(SETTLED_MS, () => {
    const [a, b, c] = fleet.lives
    if (a && b && c) go(a, b, c)
  })
}

/** Calls when all that live trust the reign of this store. */
export function reigns(fleet: Fleet, store: StoreName, go: () => void): void {
  const { row } = fleet.postgres
  const trust = () =>
    fleet.lives.every((life) => life === undefined || life.controller.reign?.number === row.number)
  once(fleet, () => row.store === store && row.phase === 'open' && trust(), go)
}

/** An operator turns; calls when all have. */
export function turn(fleet: Fleet, by: Life, store: StoreName, go: () => void): void {
  by.controller.ask(store, 'operator')
  reigns(fleet, store, go)
}

/** Calls when a beat of this life has just been carried out in PostgreSQL: it will be told of the row as it is now. */
export function beaten(fleet: Fleet, { controller }: Life, go: () => void): void {
  const before = fleet.checker.beats(controller.life)
  once(fleet, () => fleet.checker.beats(controller.life) > before, go)
}
