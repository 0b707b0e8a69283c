import type { Database } from '../postgres/client.js'
import type { Beat, FleetMember, Opening, TermTable } from './ports.js'
import type { Reason } from './states.js'
import type { Participant, StoreName } from './term.js'

/** Turns kept for those who look back. */
const TURNS_KEPT = 1000

/** The term's row and the instances', each change one statement. */
export class PostgresTerm implements TermTable {
  readonly #db: Database

  constructor(db: Database) {
    this.#db = db
  }

  async beat(me: Omit<FleetMember, 'stopped' | 'ageMs'>, windowMs: number): Promise<Beat> {
    const [row] = await this.#db.query<{ term: Beat['row']; fleet: Beat['fleet'] }>(
      'SELECT term, fleet FROM spillway.beat($1, $2, $3, $4, $5, $6)',
      [me.life, me.name, me.view, me.identity, me.matches, Math.round(windowMs)],
    )
    return { row: (row as { term: Beat['row'] }).term, fleet: (row as { fleet: Beat['fleet'] }).fleet }
  }

  close(number: number, want: StoreName, life: string, reason: Reason): Promise<boolean> {
    return this.#changed(
      `UPDATE spillway.term SET phase = 'closing', want = $2, switcher = $3, reason = $4
       WHERE number = $1 AND phase = 'open' RETURNING 1`,
      [number, want, life, reason],
    )
  }

  /** Only from who was taken for gone: a statement that comes late would take the lead from one that lives, and all would wait anew. */
  takeOver(number: number, from: string | null, life: string): Promise<boolean> {
    return this.#changed(
      `UPDATE spillway.term SET switcher = $3
       WHERE number = $1 AND phase = 'closing' AND switcher IS NOT DISTINCT FROM $2 RETURNING 1`,
      [number, from, life],
    )
  }

  turnBack(number: number, life: string): Promise<boolean> {
    return this.#changed(
      `UPDATE spillway.term SET want = 'postgres'
       WHERE number = $1 AND phase = 'closing' AND switcher = $2 RETURNING 1`,
      [number, life],
    )
  }

  async stop(number: number, life: string, participants: readonly Participant[]): Promise<boolean> {
    return this.#db.scoped('all', async (tx) => {
      for (const participant of participants) await participant.reclaim?.(tx, number)
      const rows = await tx.query(
        `UPDATE spillway.instances SET stopped = $1 WHERE life = $2
           AND EXISTS (SELECT FROM spillway.term t WHERE t.number = $1 AND t.phase = 'closing') RETURNING 1`,
        [number, life],
      )
      return rows.length > 0
    })
  }

  /** Only what this life leads: a statement that comes late would open the next term, for which nobody has stopped. */
  open(number: number, life: string, opening: Opening): Promise<boolean> {
    return this.#changed(
      `WITH opened AS (
         UPDATE spillway.term SET number = number + 1, store = want, phase = 'open', want = NULL, switcher = NULL,
           redis_identity = $3,
           held = (reason = 'operator' AND want = 'postgres'), attempt = $4, healthy_ms = $6, opened_at = clock_timestamp(),
           quarantine_until = clock_timestamp() + $5 * interval '1 millisecond'
         WHERE number = $1 AND phase = 'closing' AND switcher = $2
         RETURNING number, store, reason
       ), told AS (
         INSERT INTO spillway.turns (number, store, reason, switcher, opened_at, early, carried)
         SELECT o.number, o.store, o.reason, $2, clock_timestamp(), $7, $8 FROM opened o
       ), old AS (
         DELETE FROM spillway.turns WHERE number < $1 - ${TURNS_KEPT}
       )
       SELECT 1 FROM opened`,
      [
        number,
        life,
        opening.identity,
        opening.attempt,
        Math.round(opening.quarantineMs),
        Math.round(opening.healthyMs),
        opening.early,
        opening.carried,
      ],
    )
  }

  async leave(life: string, participants: readonly Participant[]): Promise<void> {
    await this.#db.scoped('all', async (tx) => {
      const [row] = await tx.query<{ number: number }>('SELECT number FROM spillway.term')
      for (const participant of participants) await participant.reclaim?.(tx, row?.number ?? 0)
      await tx.query('DELETE FROM spillway.instances WHERE life = $1', [life])
    })
  }

  async #changed(text: string, values: readonly unknown[]): Promise<boolean> {
    return (await this.#db.query(text, values)).length > 0
  }
}
