import type { Database } from '../postgres/client.js'
import type { FlowRef } from '../tenant.js'
import type { Retention, Trimmed } from './log.js'

/** Events that one statement trims at most, over all its flows: a longer one would be in the way for long. */
const TRIM_ROWS = 10_000
/** Far beyond the longest time that a publish is repeated. */
const RECEIPTS_KEPT = '10 minutes'

/** As `spillway.heard()`: so exactly it is known when Redis was last said to count a flow. */
const HEARD_WITHIN_MS = 60_000

interface TrimRow {
  readonly busy: boolean
  readonly floor: number | null
  readonly count: number
  readonly more: boolean | null
}

/**
 * Trims what `due` selects as (place, id, floor, look_at), rows of spillway.flows that it has locked. A publish
 * takes the head and not this row, so neither waits for the other.
 */
function trimming(due: string, rows: number): string {
  // The numbers of a fast flow have holes where its store changed: what lies there was not kept and is not trimmed. So
  // its newest events are counted within the term, and a step is so many events and not so many numbers.
  return `WITH due AS MATERIALIZED (${due}), reach AS MATERIALIZED (
      SELECT d.*, h.head, b.beyond, least(h.head, CASE WHEN h.durability = 'durable' THEN d.floor + ${rows}
        ELSE (SELECT x.seq FROM spillway.events x WHERE x.flow_id = d.id AND x.seq > d.floor ORDER BY x.seq OFFSET ${rows - 1} LIMIT 1)
        END, greatest(d.floor, b.beyond,
        -- Up to the first event that is young enough: those behind it are younger.
        coalesce((SELECT o.seq - 1 FROM (
          SELECT x.seq, x.at FROM spillway.events x WHERE x.flow_id = d.id AND x.seq > d.floor ORDER BY x.seq LIMIT ${rows}
        ) o WHERE o.at >= clock_timestamp() - $2 * interval '1 millisecond' LIMIT 1), h.head))) AS last
      FROM due d JOIN spillway.heads h ON h.flow_id = d.id
      CROSS JOIN LATERAL (SELECT CASE
        WHEN h.durability = 'durable' OR h.head - $1::bigint >= h.term_from THEN h.head - $1::bigint
        ELSE d.floor END AS beyond) b
    ), gone AS (
      DELETE FROM spillway.events x USING reach r
      WHERE x.flow_id = r.id AND x.seq > r.floor AND x.seq <= r.last RETURNING x.flow_id, x.at
    ), counted AS MATERIALIZED (
      SELECT flow_id, count(*)::integer AS count, max(at) AS newest FROM gone GROUP BY flow_id
    ), settled AS (
      UPDATE spillway.flows f SET floor = r.last,
        -- Only when its turn has come by age: left alone the row's update touches no index.
        look_at = CASE WHEN r.look_at < clock_timestamp() - $2 * interval '1 millisecond' OR r.last = r.head
          THEN coalesce((SELECT x.at FROM spillway.events x WHERE x.flow_id = r.id AND x.seq > r.last ORDER BY x.seq LIMIT 1),
            clock_timestamp())
          ELSE f.look_at END,
        silent_since = CASE WHEN r.last = r.head THEN coalesce(c.newest, f.silent_since, f.created_at) END
      FROM reach r LEFT JOIN counted c ON c.flow_id = r.id WHERE f.id = r.id
    )`
}

/** Trims each flow to its retention. A flow that somebody else is trimming is passed over: `undefined`. */
export async function trimFlows(
  db: Database,
  refs: readonly FlowRef[],
  retention: Retention,
): Promise<(Trimmed | undefined)[]> {
  if (refs.length === 0) return []
  const rows = await db.scoped([...new Set(refs.map((ref) => ref.tenant))], async (tx) => {
    const [, trimmed] = await Promise.all([
      // A trim that a crash takes back is done again: it needs no wait for the disk.
      tx.query(SOON),
      tx.query<TrimRow>(
        `${trimming(
          `SELECT i.place, f.id, f.floor, f.look_at
           FROM unnest($3::text[], $4::text[]) WITH ORDINALITY AS i (tenant, flow, place)
           JOIN spillway.flows f ON f.tenant = i.tenant AND f.flow = i.flow
           FOR UPDATE OF f SKIP LOCKED`,
          Math.ceil(TRIM_ROWS / refs.length),
        )}
         SELECT f.id IS NOT NULL AND r.id IS NULL AS busy, r.last AS floor, coalesce(c.count, 0) AS count,
           r.last < r.beyond AS more
         FROM unnest($3::text[], $4::text[]) WITH ORDINALITY AS i (tenant, flow, place)
         LEFT JOIN spillway.flows f ON f.tenant = i.tenant AND f.flow = i.flow
         LEFT JOIN reach r ON r.place = i.place
         LEFT JOIN counted c ON c.flow_id = r.id
         ORDER BY i.place`,
        [retention.maxEvents, retention.maxAgeMs, refs.map((ref) => ref.tenant), refs.map((ref) => ref.flow)],
      ),
    ])
    return trimmed
  })
  return rows.map(({ busy, floor, count, more }) =>
    busy ? undefined : { floor: Number(floor ?? 0), events: count, more: more ?? false },
  )
}

/** Trims the flows whose turn has come by age; returns how many events went. */
export async function trimOldest(db: Database, retention: Retention, flows: number): Promise<number> {
  const [row] = await db.scoped('all', async (tx) => {
    const [, trimmed] = await Promise.all([
      tx.query(SOON),
      tx.query<{ count: number }>(
        `${trimming(
          `SELECT f.id AS place, f.id, f.floor, f.look_at FROM spillway.flows f
           WHERE f.look_at < clock_timestamp() - $2 * interval '1 millisecond'
           ORDER BY f.look_at LIMIT $3 FOR UPDATE SKIP LOCKED`,
          Math.ceil(TRIM_ROWS / flows),
        )}
         SELECT coalesce(sum(count), 0)::integer AS count FROM counted`,
        [retention.maxEvents, retention.maxAgeMs, flows],
      ),
    ])
    return trimmed
  })
  await db.query(`DELETE FROM spillway.receipts WHERE at < clock_timestamp() - interval '${RECEIPTS_KEPT}'`)
  return row?.count ?? 0
}

/**
 * Forgets flows that have been empty for long; returns how many. Of those that Redis counts nobody knows when they were
 * empty there: they are forgotten when nothing was heard of them for so long that Redis has nothing any more, since its
 * keys live for two ages of an event after the last one, and a minute is how exactly it is known.
 */
export async function forgetFlows(db: Database, retention: Retention, flows: number): Promise<number> {
  const [row] = await db.scoped('all', (tx) =>
    tx.query<{ forgotten: number }>(
      // The head is locked and looked at again: a flow may have been published to since it fell silent.
      // A flow that comes to be again begins in a term that no cursor of its old life has; a fast one, whose term is the
      // reign, behind every number that was given: those of Redis may have come further than anybody has said.
      `WITH silent AS MATERIALIZED (
         SELECT f.id FROM spillway.flows f JOIN spillway.heads h ON h.flow_id = f.id
         WHERE f.silent_since < clock_timestamp() - $1 * interval '1 millisecond' AND h.head = f.floor
           AND h.counted = 'postgres'
         ORDER BY f.tenant, f.flow LIMIT $2 FOR UPDATE SKIP LOCKED
       ), unheard AS MATERIALIZED (
         SELECT f.id FROM spillway.heads h JOIN spillway.flows f ON f.id = h.flow_id
         WHERE h.counted = 'redis' AND h.heard_at < clock_timestamp() - $3 * interval '1 millisecond'
           AND NOT EXISTS (SELECT FROM spillway.events x WHERE x.flow_id = f.id)
         ORDER BY h.heard_at LIMIT $2 FOR UPDATE SKIP LOCKED
       ), gone AS (
         DELETE FROM spillway.flows WHERE id IN (SELECT id FROM silent UNION ALL SELECT id FROM unheard) RETURNING id
       ), headless AS (
         DELETE FROM spillway.heads WHERE flow_id IN (SELECT id FROM gone)
         RETURNING durability, term, greatest(head, base) + spillway.leap() AS floor
       ), last AS (
         SELECT coalesce(bool_or(durability = 'durable'), false) AS durable,
           max(term) FILTER (WHERE durability = 'fast') AS reign FROM headless
       ), later AS (
         UPDATE spillway.log_life l SET term = l.term + last.durable::integer,
           fast_reign = greatest(l.fast_reign, last.reign),
           fast_floor = greatest(CASE WHEN l.fast_reign >= coalesce(last.reign, 0) THEN l.fast_floor END,
             (SELECT max(h.floor) FROM headless h
              WHERE h.durability = 'fast' AND h.term = last.reign AND h.term >= l.fast_reign))
         FROM last WHERE EXISTS (SELECT FROM headless)
       )
       SELECT count(*)::integer AS forgotten FROM gone`,
      [
        retention.flowAgeMs,
        flows,
        Math.max(retention.flowAgeMs, 2 * retention.maxAgeMs) + 2 * HEARD_WITHIN_MS,
      ],
    ),
  )
  return row?.forgotten ?? 0
}

const SOON = `SELECT set_config('synchronous_commit', 'off', true)`
