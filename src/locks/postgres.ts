import { SpillwayError } from '../errors.js'
import type { Database, Queryable } from '../postgres/client.js'
import { sqlState } from '../postgres/errors.js'
import type { Reign } from '../term/term.js'
import {
  type Answers,
  type Ask,
  fencesSpent,
  type GiveBack,
  type GivenBack,
  type HeldLock,
  keptMs,
  type LeaseFacts,
  type LeaseRef,
  LOCK_LIMITS,
  type LockRef,
  type LockStore,
  type MovedLease,
  movedMs,
  type Renewal,
  type Taken,
  tooManyWaiters,
} from './locks.js'

/** Well within the time for which a term is trusted. */
const PATIENCE_MS = 1000
/** A free lock's row stays so long: longer than any lease. */
const FREE_MS = 300_000
/** What is remembered of the fences that tables have seen. */
const SEEN_MS = 7 * 86_400_000

/** What spillway.take_locks answers for each ask; its migration describes it. */
interface TakenRow {
  readonly place: number
  readonly verdict: 'BUSY' | 'FULL' | 'SPENT'
  readonly given: number | null
  readonly whose: string | null
  readonly since_ms: number | null
  readonly left_ms: number
  readonly is_first: boolean
}

interface RenewedRow {
  readonly place: number
  readonly claim: string
  readonly holder: string
  readonly since_ms: number
  readonly ttl_ms: number
}

interface ReturnedRow {
  readonly place: number
  readonly released: boolean
  readonly next: string | null
}

/** Locks on PostgreSQL: what is asked for together is one statement, and one commit. */
export class PostgresLocks implements LockStore {
  readonly #db: Database

  constructor(db: Database) {
    this.#db = db
  }

  async take(asks: readonly Ask[], reign: Reign): Answers<Taken> {
    const { number, fenceFloor, quarantined } = reign
    const rows = await this.#inTime(number, () =>
      this.#db.query<TakenRow>(
        'SELECT * FROM spillway.take_locks($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)',
        [
          ...[number, fenceFloor, LOCK_LIMITS.waiters, !quarantined],
          asks.map(({ tenant }) => tenant),
          asks.map(({ name }) => name),
          asks.map(({ claim }) => claim),
          asks.map(({ holder }) => holder),
          asks.map(({ ttlMs }) => ttlMs),
          asks.map(({ ttlMs }) => keptMs(ttlMs)),
          asks.map(({ patienceMs }) => patienceMs),
        ],
      ),
    )
    return inPlace(rows, asks.length).map((row) => takenOf(row as TakenRow, number))
  }

  async renew(renewals: readonly Renewal[], { number }: Reign): Answers<LeaseFacts | undefined> {
    const rows = await this.#inTime(number, () =>
      this.#db.query<RenewedRow>('SELECT * FROM spillway.renew_locks($1, $2, $3, $4, $5, $6)', [
        number,
        renewals.map(({ tenant }) => tenant),
        renewals.map(({ name }) => name),
        renewals.map(({ fence }) => fence),
        renewals.map(({ ttlMs }) => ttlMs ?? null),
        renewals.map(({ ttlMs }) => (ttlMs === undefined ? null : keptMs(ttlMs))),
      ]),
    )
    return inPlace(rows, renewals.length).map(
      (row) => row && { claim: row.claim, holder: row.holder, since: row.since_ms, ttlMs: row.ttl_ms },
    )
  }

  async giveBack(returns: readonly GiveBack[], { number }: Reign): Answers<GivenBack> {
    const rows = await this.#inTime(number, () =>
      this.#db.query<ReturnedRow>('SELECT * FROM spillway.give_back_locks($1, $2, $3, $4, $5)', [
        number,
        returns.map(({ tenant }) => tenant),
        returns.map(({ name }) => name),
        returns.map((what) => ('fence' in what ? what.fence : null)),
        returns.map((what) => ('claim' in what ? what.claim : null)),
      ]),
    )
    return inPlace(rows, returns.length).map((row) => ({
      released: row?.released ?? false,
      next: row?.next ?? undefined,
    }))
  }

  async look({ tenant, name }: LockRef, reign: Reign): Promise<HeldLock | undefined> {
    const [held] = await this.#held(tenant, name, 1, reign)
    return held
  }

  list(tenant: string, limit: number, reign: Reign): Promise<HeldLock[]> {
    return this.#held(tenant, null, limit, reign)
  }

  /** Takes in leases for the reign `next`, within a transaction that may touch all tenants. */
  async reclaim(tx: Queryable, leases: readonly MovedLease[], next: number): Promise<void> {
    await tx.query('SELECT spillway.reclaim_locks($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)', [
      next,
      leases.map(({ tenant }) => tenant),
      leases.map(({ name }) => name),
      leases.map(({ fence }) => fence),
      leases.map(({ claim }) => claim),
      leases.map(({ holder }) => holder),
      leases.map(({ since }) => since),
      leases.map(({ ttlMs }) => ttlMs),
      leases.map(({ ttlMs }) => keptMs(ttlMs)),
      leases.map(({ leftMs }) => leftMs),
    ])
  }

  /**
   * The leases that are known at the end of a reign, in pages behind `beyond`. Order: by tenant and name. Where Redis
   * reigned only those count that were reclaimed for the next reign: the others are of its own beginning.
   */
  async known(ending: number, beyond: LockRef, limit: number): Promise<MovedLease[]> {
    const leases = await this.#db.scoped('all', (tx) =>
      tx.query<MovedLease>(
        `SELECT tenant, name, fence, claim, holder, floor(extract(epoch FROM since) * 1000)::float8 AS since,
           ttl_ms AS "ttlMs", (extract(epoch FROM until - clock_timestamp()) * 1000)::float8 AS "leftMs"
         FROM spillway.locks WHERE until > clock_timestamp() AND (tenant, name) > ($2, $3)
           AND reign >= $1 + (SELECT CASE WHEN t.store = 'redis' THEN 1 ELSE 0 END FROM spillway.term t)
         ORDER BY tenant, name LIMIT $4`,
        [ending, beyond.tenant, beyond.name, limit],
      ),
    )
    return leases.map((lease) => ({ ...lease, leftMs: movedMs(lease.leftMs) }))
  }

  /** Makes every fence below this one old: for tables that ask, and for leases that may be reclaimed later. */
  async raise({ tenant, name, fence }: LeaseRef): Promise<void> {
    await this.#db.scoped([tenant], (tx) =>
      tx.query('SELECT spillway.fence_ok($1, $2, $3)', [tenant, name, fence]),
    )
  }

  /** Forgets free locks, waiters that are gone and fences that were seen long ago; at most so many of each. */
  async forget(most: number): Promise<void> {
    const old: readonly (readonly [table: string, column: string, ms: number])[] = [
      ['locks', 'until', FREE_MS],
      ['lock_waiters', 'until', FREE_MS],
      ['fences_seen', 'seen_at', SEEN_MS],
    ]
    for (const [table, column, ms] of old) {
      await this.#db.scoped('all', (tx) =>
        tx.query(
          `DELETE FROM spillway.${table} WHERE ctid = ANY (ARRAY(SELECT ctid FROM spillway.${table}
             WHERE ${column} < clock_timestamp() - $1 * interval '1 millisecond' LIMIT $2 FOR UPDATE SKIP LOCKED))`,
          [ms, most],
        ),
      )
    }
  }

  #held(tenant: string, name: string | null, limit: number, { number }: Reign): Promise<HeldLock[]> {
    return this.#db.scoped([tenant], (tx) =>
      tx.query<HeldLock>(
        `SELECT tenant, name, fence, holder, floor(extract(epoch FROM since) * 1000)::float8 AS since,
           (extract(epoch FROM until - clock_timestamp()) * 1000)::float8 AS "leftMs",
           (SELECT count(*) FROM spillway.lock_waiters w WHERE w.tenant = l.tenant AND w.name = l.name
             AND w.reign = $2 AND w.until > clock_timestamp()) AS waiting
         FROM spillway.locks l WHERE tenant = $1 AND name = coalesce($4, name) AND reign >= $2
           AND until > clock_timestamp() ORDER BY name LIMIT $3`,
        [tenant, number, limit, name],
      ),
    )
  }

  /** The statement may go on without anybody who waits for it: what it grants then is held by nobody. */
  async #inTime<T>(number: number, run: () => Promise<T>): Promise<T> {
    let timer: NodeJS.Timeout | undefined
    const late = new Promise<never>((_, reject) => {
      timer = setTimeout(() => {
        reject(
          new SpillwayError('STORE_UNAVAILABLE', `PostgreSQL did not answer within ${PATIENCE_MS} ms`, {
            retryAfterMs: 1000,
          }),
        )
      }, PATIENCE_MS)
    })
    try {
      return await Promise.race([run(), late])
    } catch (error) {
      if (sqlState(error) !== '55000') throw error
      throw new SpillwayError(
        'TERM_UNKNOWN',
        `PostgreSQL is not in term ${number}: the lock was not touched`,
        {
          cause: error,
          retryAfterMs: 100,
        },
      )
    } finally {
      clearTimeout(timer)
    }
  }
}

function takenOf(row: TakenRow, number: number): Taken | SpillwayError {
  if (row.given !== null) return { fence: row.given }
  if (row.verdict === 'FULL') return tooManyWaiters()
  if (row.verdict === 'SPENT') return fencesSpent(number)
  const { whose, since_ms, left_ms, is_first } = row
  return {
    busy: { holder: whose ?? undefined, since: since_ms ?? undefined, leftMs: left_ms, first: is_first },
  }
}

/** One answer a place, from 1. */
function inPlace<R extends { readonly place: number }>(rows: readonly R[], count: number): (R | undefined)[] {
  const answers: (R | undefined)[] = new Array(count).fill(undefined)
  for (const row of rows) answers[row.place - 1] = row
  return answers
}
