-- Fast flows: whose numbers the reigning store gives, under the reign's number as their term.

-- The migrating login may be held by row-level security as well.
SELECT set_config('spillway.scope', 'all', true);

-- Which store gave the last numbers. What Redis gave is known here a second late.
ALTER TABLE spillway.heads ADD COLUMN counted text COLLATE "C" NOT NULL DEFAULT 'postgres' CHECK (counted IN ('redis', 'postgres'));
-- Where a Redis that knows nothing of a fast flow begins, in the reign that counted it last.
ALTER TABLE spillway.heads ADD COLUMN base bigint NOT NULL DEFAULT 0;

-- Numbers that Redis may have given without anybody here having heard of it.
CREATE FUNCTION spillway.leap() RETURNS bigint LANGUAGE sql IMMUTABLE PARALLEL SAFE AS 'SELECT 10000::bigint';

DROP FUNCTION spillway.append(uuid, boolean, text[], text[], bigint[], integer[], text[], integer[], integer[], text[], text[], text[], text[], text[]);

-- As its migration before describes it, and for fast flows under a reign: the same statement checks that PostgreSQL
-- still reigns under that number. Where Redis counted before, the numbers that it may have given are leapt over.
-- Without a reign a fast flow whose log is elsewhere, or of another reign, is refused as durable.
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

-- Makes fast flows known before Redis counts them. Answers each one's durability, and the number beyond which a
-- Redis that knows nothing of it begins.
CREATE FUNCTION spillway.register_fast(reign integer, tenants text[], flows text[])
RETURNS TABLE (place bigint, durability text, base bigint)
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
  WITH made AS (
    INSERT INTO spillway.flows (tenant, flow, durability)
    SELECT i.tenant, i.flow, 'fast' FROM unnest(tenants, flows) AS i (tenant, flow)
    WHERE NOT EXISTS (SELECT FROM spillway.flows f WHERE f.tenant = i.tenant AND f.flow = i.flow)
    ORDER BY i.tenant, i.flow
    ON CONFLICT (tenant, flow) DO NOTHING
    RETURNING id, flows.tenant, flows.flow
  )
  INSERT INTO spillway.heads (flow_id, head, term, tenant, flow, durability, counted)
  SELECT m.id, 0, reign, m.tenant, m.flow, 'fast', 'redis' FROM made m;
  -- From now on Redis may give numbers of which nobody here hears in time: who goes on after it leaps over them.
  UPDATE spillway.heads h SET term = reign, counted = 'redis',
    base = greatest(h.head, h.base) + CASE WHEN h.counted = 'redis' THEN spillway.leap() ELSE 0 END,
    term_from = greatest(h.head, h.base) + CASE WHEN h.counted = 'redis' THEN spillway.leap() ELSE 0 END + 1
  FROM unnest(tenants, flows) AS i (tenant, flow)
  JOIN spillway.flows f ON f.tenant = i.tenant AND f.flow = i.flow
  WHERE h.flow_id = f.id AND h.durability = 'fast' AND h.term < reign
    -- Late by a whole reign: it must not undo what the next one has done.
    AND EXISTS (SELECT FROM spillway.term t WHERE t.number = reign AND t.store = 'redis');
  RETURN QUERY SELECT i.place, h.durability, CASE WHEN h.head > h.base THEN h.head + spillway.leap() ELSE h.base END
  FROM unnest(tenants, flows) WITH ORDINALITY AS i (tenant, flow, place)
  JOIN spillway.flows f ON f.tenant = i.tenant AND f.flow = i.flow
  JOIN spillway.heads h ON h.flow_id = f.id;
END $$;

-- Says how far fast flows have come on Redis, while it reigns or its reign ends.
CREATE FUNCTION spillway.report_heads(reign integer, tenants text[], flows text[], counts bigint[]) RETURNS void
LANGUAGE sql SET search_path = pg_catalog, pg_temp AS $$
  UPDATE spillway.heads h SET head = greatest(h.head, i.head), term = reign, counted = 'redis',
    term_from = CASE WHEN h.term < reign THEN h.head + 1 ELSE h.term_from END
  FROM unnest(tenants, flows, counts) AS i (tenant, flow, head)
  JOIN spillway.flows f ON f.tenant = i.tenant AND f.flow = i.flow
  WHERE h.flow_id = f.id AND h.durability = 'fast' AND h.term <= reign
    AND EXISTS (SELECT FROM spillway.term t WHERE t.number = reign AND t.store = 'redis')
$$;

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
REVOKE CREATE ON SCHEMA spillway FROM spillway_app;
REVOKE ALL ON FUNCTION spillway.append(uuid, boolean, text[], text[], bigint[], integer[], text[], integer[], integer[], text[], text[], text[], text[], text[], integer) FROM PUBLIC;
SELECT set_config('spillway.scope', '', true);
