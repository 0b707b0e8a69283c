import { SpillwayError } from '../../../src/errors.js'
import type { Queryable } from '../../../src/postgres/client.js'
import type { Participant } from '../../../src/term/term.js'
import { type ClientParts, operate } from './operate.js'
import { takeInCount } from './stored.js'

/** Takes of one limit, and remembers how much the store said was taken: what this instance knows when the store is gone. */
export class Limits implements Participant {
  readonly name = 'limits'
  readonly #parts: ClientParts
  #told = 0

  constructor(parts: ClientParts) {
    this.#parts = parts
  }

  begin(): void {
    const { host } = this.#parts
    host.after(host.world.between(100, 900), () => void this.#take().finally(() => this.begin()))
  }

  async reclaim(tx: Queryable): Promise<void> {
    if (!this.#parts.off.has('reclaim')) await tx.query('count', [this.#told])
  }

  async carry(ending: number, part: 'bulk' | 'rest'): Promise<number> {
    const { table, postgres, markers, off } = this.#parts
    if (part === 'bulk' || off.has('carry-over')) return 0
    const taken = await table.change('read', () => postgres.stored.taken)
    if (!(await markers.carry(ending, ({ data }) => takeInCount(data, taken))))
      throw new SpillwayError('STORE_UNAVAILABLE', 'carried too late')
    return 1
  }

  async #take(): Promise<void> {
    const { checker, who } = this.#parts
    try {
      const told = await operate(this.#parts, 'limit', (stored, _, { number }) => {
        stored.taken += 1
        return { number, taken: stored.taken }
      })
      if (!told) return
      this.#told = Math.max(this.#told, told.taken)
      checker.took(who, told.number, told.taken)
    } catch (error) {
      if (!(error instanceof SpillwayError)) throw error
      checker.seen.refused += 1
    }
  }
}
