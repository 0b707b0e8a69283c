import type { Reign } from '../../../src/term/term.js'
import { Checker } from '../sim/checker.js'
import type { Off } from '../sim/guards.js'
import { operate } from '../sim/operate.js'
import type { CalmWorld } from './worlds.js'

/** Whether a store of the simulation carries out an operation of this reign. */
export async function fenced(calm: CalmWorld, reign: Reign, off: Off): Promise<boolean> {
  const { host, table, postgres, markers, world } = calm
  const term = {
    reign,
    last: reign,
    operate: <T>(run: (reign: Reign) => Promise<T>) => run(reign),
    onChange: () => () => undefined,
    join: () => undefined,
  }
  const checker = new Checker(world, calm, 2000)
  const parts = { host, who: 'a', term, table, postgres, markers, checker, off, longestMs: 3000 }
  return (await operate(parts, 'limit', () => true)) ?? false
}
