-- What a publish changes leaves the flows' own rows for a narrow one, found by the flow's id: one short update in
-- its page, no other index. Retention changes only the flow's row, so the two never wait for each other.

-- The migrating login may be held by row-level security as well.
SELECT set_config('spillway.scope', 'all', true);

-- Where a flow's log stands. The names are a copy: who brings an id learnt earlier is checked by them, also after
-- a restored database gave that id to another flow.
CREATE TABLE spillway.heads (
  flow_id bigint PRIMARY KEY,
  head bigint NOT NULL,
  term_from bigint NOT NULL DEFAULT 1,
  term integer NOT NULL,
  tenant text COLLATE "C" NOT NULL,
  flow text COLLATE "C" NOT NULL,
  durability text COLLATE "C" NOT NULL,
  -- Which store gave the last numbers of a fast flow. What Redis gave is known here a second late.
  counted text COLLATE "C" NOT NULL DEFAULT 'postgres' CHECK (counted IN ('redis', 'postgres')),
  -- Where a Redis that knows nothing of a fast flow begins, in the reign that counted it last.
  base bigint NOT NULL DEFAULT 0
) WITH (fillfactor = 50, autovacuum_vacuum_scale_factor = 0.05);
SELECT spillway.protect('spillway.heads');
INSERT INTO spillway.heads (flow_id, head, term_from, term, tenant, flow, durability)
  SELECT id, head, term_from, term, tenant, flow, durability FROM spillway.flows;

-- No event is older: the time at which the flow's turn comes is counted from it. It may be too early, never too
-- late by more than an open transaction lasts.
ALTER TABLE spillway.flows ADD COLUMN look_at timestamptz NOT NULL DEFAULT clock_timestamp();
-- When the newest event was taken of those whose trimming left the flow empty. A publish does not clear it.
ALTER TABLE spillway.flows ADD COLUMN silent_since timestamptz;
UPDATE spillway.flows SET look_at = coalesce(oldest_at, last_at),
  silent_since = CASE WHEN oldest_at IS NULL THEN last_at END;
DROP INDEX spillway.flows_oldest, spillway.flows_empty;
ALTER TABLE spillway.flows DROP COLUMN head, DROP COLUMN term, DROP COLUMN term_from,
  DROP COLUMN last_at, DROP COLUMN oldest_at;
CREATE INDEX flows_look ON spillway.flows (look_at);
CREATE INDEX flows_silent ON spillway.flows (silent_since) WHERE silent_since IS NOT NULL;

DROP FUNCTION spillway.append(uuid, boolean, text[], text[], integer[], text[], integer[], integer[], text[], text[], text[], text[], text[]);
DROP FUNCTION spillway.append_odd(timestamptz, text[], bigint[], bigint[], integer[], text[], integer[], text[], text[], text[], text[], text[]);

-- Numbers that Redis may have given without anybody here having heard of it: twice what an instance lets run up
-- before it waits (events/kinds.ts).
CREATE FUNCTION spillway.leap() RETURNS bigint LANGUAGE sql IMMUTABLE PARALLEL SAFE AS 'SELECT 1000000::bigint';

-- Numbers and stores a batch of events of any tenants: the one way into spillway.events.
--
-- The caller groups: tenants/flows/known/counts/wanted are one element a flow, in ascending (tenant, flow) order;
-- flow_at (place in those, from 1), rank (1, 2 … within its flow) and the rest are one element an event.
-- "known" are the flows' ids as an earlier call answered them, null where the caller has none: a hint, checked.
-- "wanted", "keys" and "asked" may be null as a whole.
--
-- Fast flows have the reign's number as their term, and "reign" says it: the same statement checks that PostgreSQL
-- still reigns under it. Where Redis counted before, the numbers that it may have given are leapt over. Without a
-- reign a fast flow whose log is elsewhere, or of another reign, is refused as durable.
--
-- Answers one row: when, the flows' ids (null if all were known), and for each flow its term, the seq of its first
-- event here and the first letter of its durability. Event i gets the first seq of its flow + rank - 1, unless
-- "odd" is not null: then that tells for every event, by its place from 1, its seq, the event that had its key
-- before, or the durability that refused it. An event whose key stands earlier in the batch has rank 0.
--
-- Without hash and merge joins the heads are updated in the order of the caller's arrays, so that two batches
-- do not wait for each other in a circle. Plans are kept for long: one made while a table was small must not scan
-- it when it has grown. Compiling the plans would take longer than running them.
CREATE FUNCTION spillway.append(
  token uuid, is_repeat boolean,
  tenants text[], flows text[], known bigint[], counts integer[], wanted text[],
  flow_at integer[], rank integer[], types text[], sources text[], keys text[], asked text[], payloads text[],
  reign integer DEFAULT NULL,
  OUT at timestamptz, OUT ids bigint[], OUT terms integer[], OUT firsts bigint[], OUT durabilities text, OUT odd jsonb
)
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
SET enable_hashjoin = off SET enable_mergejoin = off SET enable_seqscan = off SET jit = off
AS $$
DECLARE
  found_ids bigint[] := known;
  taken bigint[];
  kinds text[];
  life integer;
  ask text[] := asked;
  strays boolean[];
  reigning integer;
BEGIN
  PERFORM set_config('spillway.tenants', (CASE WHEN tenants[1] = tenants[cardinality(tenants)]
    THEN ARRAY[tenants[1]] ELSE ARRAY(SELECT DISTINCT unnest(tenants)) END)::text, true);
  IF token IS NOT NULL THEN
    IF is_repeat THEN
      SELECT r.at, r.terms, r.firsts, r.durabilities, r.odd INTO at, terms, firsts, durabilities, odd
      FROM spillway.receipts r WHERE r.token = append.token;
      IF FOUND THEN RETURN; END IF;
    END IF;
    IF reign IS NOT NULL AND NOT spillway.reigns(reign, 'postgres') THEN
      RAISE EXCEPTION 'TERM_UNKNOWN: term % does not reign on PostgreSQL', reign USING ERRCODE = '55000';
    END IF;
    -- A publish that waits for somebody's open transaction would hold up the whole batch.
    PERFORM set_config('lock_timeout', '250ms', true);
  END IF;
  IF current_setting('synchronous_commit') = 'off' THEN
    PERFORM set_config('synchronous_commit', 'on', true);
  END IF;

  LOOP
    IF array_position(found_ids, NULL) IS NOT NULL THEN
      SELECT array_agg(coalesce(i.id, (
        SELECT f.id FROM spillway.flows f WHERE f.tenant = i.tenant AND f.flow = i.flow)) ORDER BY i.place)
      INTO found_ids FROM unnest(tenants, flows, found_ids) WITH ORDINALITY AS i (tenant, flow, id, place);
      IF array_position(found_ids, NULL) IS NOT NULL THEN
        WITH made AS (
          INSERT INTO spillway.flows (tenant, flow, durability)
          SELECT i.tenant, i.flow, coalesce(i.durability, CASE WHEN reign IS NULL THEN 'durable' ELSE 'fast' END)
          FROM unnest(tenants, flows, found_ids, wanted) WITH ORDINALITY AS i (tenant, flow, id, durability, place)
          WHERE i.id IS NULL
            AND NOT EXISTS (SELECT FROM spillway.flows f WHERE f.tenant = i.tenant AND f.flow = i.flow)
          ORDER BY i.place
          ON CONFLICT (tenant, flow) DO NOTHING
          RETURNING id, tenant, flow, durability
        )
        INSERT INTO spillway.heads (flow_id, head, term, tenant, flow, durability)
        -- Not `life`: a flow that was forgotten since that was read must not begin in its old term.
        SELECT m.id, 0, CASE WHEN reign IS NOT NULL AND m.durability = 'fast' THEN reign
          ELSE (SELECT l.term FROM spillway.log_life l) END, m.tenant, m.flow, m.durability FROM made m;
        CONTINUE;
      END IF;
    END IF;
    SELECT l.term INTO life FROM spillway.log_life l;
    SELECT t.number INTO reigning FROM spillway.term t WHERE t.store = 'postgres';
    WITH head AS (
      UPDATE spillway.heads h SET
        head = i.n + CASE WHEN reign IS NOT NULL AND h.counted = 'redis'
          THEN greatest(h.head, h.base) + spillway.leap() ELSE h.head END,
        -- Never back: the life may have grown while this waited for the flow. A fast flow's term is its reign.
        term = greatest(h.term, CASE WHEN h.durability = 'durable' THEN life ELSE reign END),
        term_from = CASE
          WHEN h.durability = 'durable' THEN CASE WHEN h.term >= life THEN h.term_from ELSE h.head + 1 END
          WHEN reign IS NULL OR h.term >= reign AND h.counted = 'postgres' THEN h.term_from
          WHEN h.counted = 'redis' THEN greatest(h.head, h.base) + spillway.leap() + 1
          ELSE h.head + 1 END,
        counted = CASE WHEN reign IS NULL THEN h.counted ELSE 'postgres' END
      FROM unnest(tenants, flows, found_ids, counts) WITH ORDINALITY AS i (tenant, flow, id, n, place)
      WHERE h.flow_id = i.id AND h.tenant = i.tenant AND h.flow = i.flow
      RETURNING i.place, h.flow_id, h.head - i.n + 1 AS first, h.term, h.durability,
        h.durability = 'fast' AND (h.counted = 'redis' OR h.term IS DISTINCT FROM reigning) AS stray
    )
    SELECT array_agg(h.flow_id), array_agg(h.first), array_agg(h.term), array_agg(h.durability),
      string_agg(left(h.durability, 1), ''), array_agg(h.stray)
    INTO taken, firsts, terms, kinds, durabilities, strays
    FROM (SELECT * FROM head ORDER BY place) h;
    EXIT WHEN cardinality(taken) = cardinality(flows);
    -- A flow was forgotten since its id was learnt. What the update has added is given back, and all of them are
    -- taken once more, by their names: rare.
    UPDATE spillway.heads h SET head = h.head - i.n
    FROM unnest(tenants, flows, found_ids, counts) AS i (tenant, flow, id, n)
    WHERE h.flow_id = i.id AND h.tenant = i.tenant AND h.flow = i.flow AND h.flow_id = ANY (taken);
    found_ids := array_fill(NULL::bigint, ARRAY[cardinality(flows)]);
  END LOOP;
  -- The next reign has begun with the flow while this waited for it.
  IF reign IS NOT NULL AND EXISTS (SELECT FROM unnest(terms, kinds) AS t (term, kind) WHERE t.kind = 'fast' AND t.term > reign) THEN
    RAISE EXCEPTION 'TERM_UNKNOWN: term % is over', reign USING ERRCODE = '55000';
  END IF;
  at := date_trunc('milliseconds', clock_timestamp());
  IF found_ids IS DISTINCT FROM known THEN ids := found_ids; END IF;

  -- A fast flow is another store's now, or another reign's: its publish must come under that.
  IF reign IS NULL AND true = ANY (strays) THEN
    ask := ARRAY(SELECT CASE WHEN strays[e.f] THEN 'durable' ELSE e.asked END
      FROM unnest(flow_at, CASE WHEN asked IS NULL THEN array_fill(NULL::text, ARRAY[cardinality(flow_at)]) ELSE asked END)
        WITH ORDINALITY AS e (f, asked, place) ORDER BY e.place);
  END IF;

  IF (keys IS NOT NULL OR ask IS NOT NULL) AND EXISTS (
    SELECT FROM unnest(flow_at, rank, ask, keys) AS e (f, r, asked, key)
    WHERE e.asked <> kinds[e.f] OR e.r = 0
      OR e.key IS NOT NULL AND EXISTS (SELECT FROM spillway.events x WHERE x.flow_id = taken[e.f] AND x.key = e.key)
  ) THEN
    odd := spillway.append_odd(at, tenants, taken, firsts, terms, kinds, flow_at, types, sources, keys, ask, payloads);
  ELSE
    INSERT INTO spillway.events (flow_id, seq, term, tenant, type, source, key, at, payload)
    SELECT taken[e.f], firsts[e.f] + e.r - 1, terms[e.f], tenants[e.f], e.type, e.source, e.key, append.at, e.payload
    FROM unnest(flow_at, rank, types, sources, keys, payloads) AS e (f, r, type, source, key, payload);
  END IF;
  IF token IS NOT NULL THEN
    -- If the first try is still committing, this waits for it and fails; the next repeat reads its receipt.
    INSERT INTO spillway.receipts VALUES (append.token, append.at, append.terms, append.firsts, append.durabilities, append.odd);
  END IF;
END $$;

-- The rest of an append in which some events repeat a key or ask for another durability: numbers the others
-- and gives back the numbers that append took too many.
CREATE FUNCTION spillway.append_odd(
  at timestamptz, tenants text[], ids bigint[], firsts bigint[], terms integer[], kinds text[],
  flow_at integer[], types text[], sources text[], keys text[], asked text[], payloads text[]
) RETURNS jsonb
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  answer jsonb;
BEGIN
  WITH draft AS MATERIALIZED (
    SELECT e.*, x.seq AS first_seq, x.term AS first_term, x.type AS first_type, x.source AS first_source,
      x.payload AS first_payload, x.at AS first_at, coalesce(e.asked <> kinds[e.f], false) AS refused
    FROM unnest(flow_at, types, sources, keys, asked, payloads) WITH ORDINALITY
      AS e (f, type, source, key, asked, payload, place)
    LEFT JOIN spillway.events x ON x.flow_id = ids[e.f] AND x.key = e.key
  ), fresh AS MATERIALIZED (
    SELECT d.*, firsts[d.f] - 1 + row_number() OVER (PARTITION BY d.f ORDER BY d.place) AS seq
    FROM (
      SELECT n.*, row_number() OVER (PARTITION BY n.f, n.key ORDER BY n.place) AS nth
      FROM draft n WHERE NOT n.refused AND n.first_seq IS NULL
    ) d WHERE d.key IS NULL OR d.nth = 1
  ), stored AS (
    INSERT INTO spillway.events (flow_id, seq, term, tenant, type, source, key, at, payload)
    SELECT ids[n.f], n.seq, terms[n.f], tenants[n.f], n.type, n.source, n.key, append_odd.at, n.payload FROM fresh n
  )
  SELECT jsonb_object_agg(d.place, CASE
    WHEN d.refused THEN jsonb_build_object('refused', kinds[d.f])
    WHEN d.first_seq IS NOT NULL THEN jsonb_build_object(
      'seq', d.first_seq, 'term', d.first_term, 'type', d.first_type, 'source', d.first_source,
      'payload', d.first_payload, 'at', extract(epoch FROM d.first_at) * 1000)
    WHEN n.place = d.place THEN jsonb_build_object('seq', n.seq)
    ELSE jsonb_build_object(
      'seq', n.seq, 'term', terms[n.f], 'type', n.type, 'source', n.source,
      'payload', n.payload, 'at', extract(epoch FROM append_odd.at) * 1000) END)
  FROM draft d LEFT JOIN fresh n ON n.place = d.place OR n.f = d.f AND n.key = d.key
  INTO answer;

  UPDATE spillway.heads h SET head = w.last
  FROM (
    SELECT c.id, c.first - 1 + (SELECT count(*) FROM jsonb_each(answer) o
      WHERE flow_at[o.key::integer] = c.place AND o.value ? 'seq' AND NOT o.value ? 'term') AS last
    FROM unnest(ids, firsts) WITH ORDINALITY AS c (id, first, place)
  ) w
  WHERE h.flow_id = w.id AND h.head <> w.last;
  RETURN answer;
END $$;

-- Publishes within the caller's own transaction: the event is there if and only if that commits. Holds the
-- flow's head until then, so other publishes to this flow wait. Readers see it at their next look (the
-- backstop), or at once with announce => true, which takes PostgreSQL's global NOTIFY lock at commit.
CREATE OR REPLACE FUNCTION spillway.publish(
  tenant text, flow text, type text, payload json DEFAULT '{}',
  source text DEFAULT 'system', key text DEFAULT NULL, announce boolean DEFAULT false
) RETURNS text
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  -- Not a SET of the function: only superusers may store one with a name like this.
  outer_tenants text := coalesce(current_setting('spillway.tenants', true), '');
  answer record;
  wrong record;
  reign integer;
BEGIN
  -- The rules of tenant.ts.
  SELECT n.kind, n.most INTO wrong
  FROM (VALUES ('tenant', tenant, 128), ('flow', flow, 256), ('type', type, 128), ('source', source, 256),
    ('key', coalesce(key, 'none'), 256)) AS n (kind, value, most)
  WHERE coalesce(n.value, '') = '' OR octet_length(n.value) > n.most OR n.value IN ('.', '..')
    OR n.value ~ '[\u0000-\u001f\u007f-\u009f\u2028\u2029]'
  LIMIT 1;
  IF FOUND THEN
    RAISE EXCEPTION 'INVALID_NAME: % must be 1 to % bytes without control characters', wrong.kind, wrong.most USING ERRCODE = '22023';
  ELSIF type = 'gap' OR starts_with(type, 'spillway.') THEN
    RAISE EXCEPTION 'RESERVED_TYPE: the type % is reserved', type USING ERRCODE = '22023';
  ELSIF payload IS NULL OR octet_length(payload::text) > 262144 THEN
    RAISE EXCEPTION 'PAYLOAD_TOO_LARGE: payload must be JSON of at most 262144 bytes' USING ERRCODE = '22023';
  END IF;
  PERFORM set_config('spillway.tenants', ARRAY[tenant]::text, true);
  IF EXISTS (SELECT FROM spillway.flows f
    WHERE f.tenant = publish.tenant AND f.flow = publish.flow AND f.durability = 'fast')
  THEN
    -- The term does not close before this commits: what comes later would not be carried to Redis.
    SELECT t.number INTO reign FROM spillway.term t WHERE t.store = 'postgres' AND t.phase = 'open' FOR SHARE;
  END IF;
  SELECT * INTO answer FROM spillway.append(NULL, false, ARRAY[tenant], ARRAY[flow], ARRAY[NULL::bigint], ARRAY[1],
    ARRAY['durable'], ARRAY[1], ARRAY[1], ARRAY[type], ARRAY[source], CASE WHEN key IS NOT NULL THEN ARRAY[key] END, NULL, ARRAY[payload::text],
    reign);
  PERFORM set_config('spillway.tenants', outer_tenants, true);
  IF answer.odd #>> '{1,refused}' IS NOT NULL THEN
    RAISE EXCEPTION 'DURABILITY_FIXED: the flow % is fast and its log is elsewhere: publish to it through the library', flow
      USING ERRCODE = '22023';
  END IF;
  IF announce THEN PERFORM pg_notify('spillway', '*'); END IF;
  RETURN coalesce(answer.odd #>> '{1,term}', answer.terms[1]::text) || '-' || coalesce(answer.odd #>> '{1,seq}', answer.firsts[1]::text);
END $$;

GRANT CREATE ON SCHEMA spillway TO spillway_app;
ALTER FUNCTION spillway.append(uuid, boolean, text[], text[], bigint[], integer[], text[], integer[], integer[], text[], text[], text[], text[], text[], integer) OWNER TO spillway_app;
ALTER FUNCTION spillway.append_odd(timestamptz, text[], bigint[], bigint[], integer[], text[], integer[], text[], text[], text[], text[], text[]) OWNER TO spillway_app;
REVOKE CREATE ON SCHEMA spillway FROM spillway_app;
REVOKE ALL ON FUNCTION spillway.append(uuid, boolean, text[], text[], bigint[], integer[], text[], integer[], integer[], text[], text[], text[], text[], text[], integer) FROM PUBLIC;
REVOKE ALL ON FUNCTION spillway.append_odd(timestamptz, text[], bigint[], bigint[], integer[], text[], integer[], text[], text[], text[], text[], text[]) FROM PUBLIC;
SELECT set_config('spillway.scope', '', true);
