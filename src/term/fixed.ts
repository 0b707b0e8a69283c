import { SpillwayError } from '../errors.js'
import type { Database } from '../postgres/client.js'
import { fenceFloor, type OperateOptions, type Participant, type Reign, type Term } from './term.js'
import { DRIFT, TIMING } from './timing.js'

/** In which another instance is taken for alive. */
const ALIVE_MS = 5000

/** The reign of the only store there is. */
export class FixedTerm implements Term {
  readonly #reign: Omit<Reign, 'quarantined'>
  readonly #quarantinedUntil: number

  constructor(reign: Omit<Reign, 'quarantined'>, quarantineMs = 0) {
    this.#reign = reign
    this.#quarantinedUntil = performance.now() + quarantineMs
  }

  get reign(): Reign {
    return { ...this.#reign, quarantined: performance.now() < this.#quarantinedUntil }
  }

  /**
   * PostgreSQL alone. Where Redis reigned and nobody is left that could see it, a new term begins. Errors:
   * `CONFIG_INVALID` while instances with Redis run.
   */
  static async onPostgres(db: Database): Promise<FixedTerm> {
    const [row] = await db.query<{ number: number; alone: boolean; quarantine: number | null }>(
      `WITH alone AS (
         SELECT NOT EXISTS (SELECT FROM spillway.instances
           WHERE beat_at > clock_timestamp() - $1 * interval '1 millisecond') AS yes
       ), turned AS (
         UPDATE spillway.term SET number = number + 1, store = 'postgres', phase = 'open', want = NULL, switcher = NULL,
           reason = 'without Redis', redis_identity = NULL, attempt = NULL, opened_at = clock_timestamp(),
           quarantine_until = clock_timestamp() + $2::float8 * interval '1 millisecond'
         WHERE (store = 'redis' OR phase = 'closing') AND (SELECT yes FROM alone)
         RETURNING number
       )
       SELECT coalesce((SELECT number FROM turned), t.number) AS number,
         t.store = 'postgres' OR EXISTS (SELECT FROM turned) AS alone,
         coalesce((SELECT $2::float8 FROM turned),
           extract(epoch FROM t.quarantine_until - clock_timestamp())::float8 * 1000) AS quarantine
       FROM spillway.term t`,
      [ALIVE_MS, TIMING.longestLeaseMs * DRIFT],
    )
    if (!row?.alone) {
      throw new SpillwayError(
        'CONFIG_INVALID',
        'Instances with Redis run on this database, and Redis reigns: give this one the same REDIS_URL',
      )
    }
    const quarantineMs = Math.max(row.quarantine ?? 0, 0) * DRIFT
    const { number } = row
    return new FixedTerm(
      { number, store: 'postgres', sign: '', marker: '', identity: '', fenceFloor: fenceFloor(number) },
      quarantineMs,
    )
  }

  get last(): Reign {
    return this.reign
  }

  operate<T>(run: (reign: Reign) => Promise<T>, _options?: OperateOptions): Promise<T> {
    return run(this.reign)
  }

  onChange(): () => void {
    return () => undefined
  }

  join(_participant: Participant): void {}
}
