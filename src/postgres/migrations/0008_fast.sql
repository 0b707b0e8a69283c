-- Fast flows: whose numbers the reigning store gives, under the reign's number as their term.
ALTER TABLE spillway.flows ADD COLUMN counted text COLLATE "C" NOT NULL DEFAULT 'postgres' CHECK (counted IN ('redis', 'postgres'));
ALTER TABLE spillway.flows ADD COLUMN base bigint NOT NULL DEFAULT 0;
COMMENT ON COLUMN spillway.flows.base IS 'Where a Redis that knows nothing of a fast flow begins, in the reign that counted it last.';
COMMENT ON COLUMN spillway.flows.counted IS 'Which store gave the last numbers: what Redis gave is known here with a delay.';

CREATE OR REPLACE FUNCTION spillway.append(
  token uuid, is_repeat boolean,
  tenants text[], flows text[], counts integer[], wanted text[],
  flow_at integer[], rank integer[], types text[], sources text[], keys text[], asked text[], payloads text[],
  OUT at timestamptz, OUT terms integer[], OUT firsts bigint[], OUT durabilities text, OUT odd jsonb
)
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
SET enable_hashjoin = off SET enable_mergejoin = off SET jit = off
AS $$
DECLARE
  ids bigint[];
  kinds text[];
  life integer;
BEGIN
  PERFORM set_config('spillway.tenants', ARRAY(SELECT DISTINCT unnest(tenants))::text, true);
  IF token IS NOT NULL THEN
    IF is_repeat THEN
      SELECT r.at, r.terms, r.firsts, r.durabilities, r.odd INTO at, terms, firsts, durabilities, odd
      FROM spillway.receipts r WHERE r.token = append.token;
      IF FOUND THEN RETURN; END IF;
    END IF;
    -- A publish that waits for somebody's open transaction would hold up the whole batch.
    PERFORM set_config('lock_timeout', '250ms', true);
  END IF;
  IF current_setting('synchronous_commit') = 'off' THEN
    PERFORM set_config('synchronous_commit', 'on', true);
  END IF;

  LOOP
    SELECT l.term INTO life FROM spillway.log_life l;
    WITH head AS (
      UPDATE spillway.flows f SET
        head = f.head + i.n,
        -- Never back: the life may have grown while this waited for the flow. A fast flow's term is its reign.
        term = CASE WHEN f.durability = 'fast' THEN f.term ELSE greatest(f.term, life) END,
        term_from = CASE WHEN f.durability = 'fast' OR f.term >= life THEN f.term_from ELSE f.head + 1 END,
        last_at = clock_timestamp(),
        oldest_at = coalesce(f.oldest_at, clock_timestamp())
      FROM unnest(tenants, flows, counts) WITH ORDINALITY AS i (tenant, flow, n, place)
      WHERE f.tenant = i.tenant AND f.flow = i.flow
      RETURNING i.place, f.id, f.head - i.n + 1 AS first, f.term, f.durability
    )
    SELECT array_agg(h.id ORDER BY h.place), array_agg(h.first ORDER BY h.place),
      array_agg(h.term ORDER BY h.place), array_agg(h.durability ORDER BY h.place)
    INTO ids, firsts, terms, kinds
    FROM head h;
    EXIT WHEN cardinality(ids) = cardinality(flows);
    -- Flows that are new. What the update has added is given back, and all of them are taken once more: rare.
    UPDATE spillway.flows f SET head = f.head - i.n
    FROM unnest(tenants, flows, counts) AS i (tenant, flow, n)
    WHERE f.tenant = i.tenant AND f.flow = i.flow AND f.id = ANY (ids);
    INSERT INTO spillway.flows (tenant, flow, durability, term, head)
    -- Not `life`: a flow that was forgotten since that was read must not begin in its old term.
    SELECT i.tenant, i.flow, coalesce(i.durability, 'durable'), (SELECT l.term FROM spillway.log_life l), 0
    FROM unnest(tenants, flows, wanted) WITH ORDINALITY AS i (tenant, flow, durability, place)
    WHERE NOT EXISTS (SELECT FROM spillway.flows f WHERE f.tenant = i.tenant AND f.flow = i.flow)
    ORDER BY i.place
    ON CONFLICT (tenant, flow) DO NOTHING;
  END LOOP;
  at := date_trunc('milliseconds', clock_timestamp());
  durabilities := array_to_string(ARRAY(SELECT left(k, 1) FROM unnest(kinds) k), '');

  IF EXISTS (
    SELECT FROM unnest(flow_at, rank, asked, keys) AS e (f, r, asked, key)
    WHERE e.asked <> kinds[e.f] OR e.r = 0
      OR e.key IS NOT NULL AND EXISTS (SELECT FROM spillway.events x WHERE x.flow_id = ids[e.f] AND x.key = e.key)
  ) THEN
    odd := spillway.append_odd(at, tenants, ids, firsts, terms, kinds, flow_at, types, sources, keys, asked, payloads);
  ELSE
    INSERT INTO spillway.events (flow_id, seq, term, tenant, type, source, key, at, payload)
    SELECT ids[e.f], firsts[e.f] + e.r - 1, terms[e.f], tenants[e.f], e.type, e.source, e.key, append.at, e.payload
    FROM unnest(flow_at, rank, types, sources, keys, payloads) AS e (f, r, type, source, key, payload);
  END IF;
  IF token IS NOT NULL THEN
    -- If the first try is still committing, this waits for it and fails; the next repeat reads its receipt.
    INSERT INTO spillway.receipts VALUES (append.token, append.at, append.terms, append.firsts, append.durabilities, append.odd);
  END IF;
END $$;

-- Numbers that Redis may have given without anybody here having heard of it.
CREATE FUNCTION spillway.leap() RETURNS bigint LANGUAGE sql IMMUTABLE PARALLEL SAFE AS 'SELECT 10000::bigint';

CREATE FUNCTION spillway.is_fast(the_tenant text, the_flow text) RETURNS boolean LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  outer_tenants text := coalesce(current_setting('spillway.tenants', true), '');
  answer boolean;
BEGIN
  PERFORM set_config('spillway.tenants', ARRAY[the_tenant]::text, true);
  SELECT f.durability = 'fast' INTO answer FROM spillway.flows f WHERE f.tenant = the_tenant AND f.flow = the_flow;
  PERFORM set_config('spillway.tenants', outer_tenants, true);
  RETURN coalesce(answer, false);
END $$;

-- spillway.append for fast flows while PostgreSQL reigns: in the same statement it checks that it still does. Where
-- Redis counted before, the numbers that it may have given are leapt over.
CREATE FUNCTION spillway.append_fast(
  reign integer, token uuid, is_repeat boolean,
  tenants text[], flows text[], counts integer[], wanted text[],
  flow_at integer[], rank integer[], types text[], sources text[], keys text[], asked text[], payloads text[],
  OUT at timestamptz, OUT terms integer[], OUT firsts bigint[], OUT durabilities text, OUT odd jsonb
)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
  IF NOT spillway.reigns(reign, 'postgres') THEN
    RAISE EXCEPTION 'TERM_UNKNOWN: term % does not reign on PostgreSQL', reign USING ERRCODE = '55000';
  END IF;
  PERFORM set_config('spillway.tenants', ARRAY(SELECT DISTINCT unnest(tenants))::text, true);
  -- Not in somebody's own transaction, whose setting it would stay.
  IF token IS NOT NULL THEN PERFORM set_config('lock_timeout', '250ms', true); END IF;
  IF EXISTS (
    SELECT FROM unnest(tenants, flows) AS i (tenant, flow)
    LEFT JOIN spillway.flows f ON f.tenant = i.tenant AND f.flow = i.flow
    WHERE f.id IS NULL OR f.durability = 'fast' AND (f.term <> reign OR f.counted <> 'postgres')
  ) THEN
    INSERT INTO spillway.flows (tenant, flow, durability, term, head)
    SELECT i.tenant, i.flow, 'fast', reign, 0 FROM unnest(tenants, flows) WITH ORDINALITY AS i (tenant, flow, place)
    ORDER BY i.place
    ON CONFLICT (tenant, flow) DO NOTHING;
    -- In the order of all others, so that two never wait for each other in a circle.
    PERFORM FROM spillway.flows f JOIN unnest(tenants, flows) WITH ORDINALITY AS i (tenant, flow, place)
      ON f.tenant = i.tenant AND f.flow = i.flow ORDER BY i.place FOR UPDATE OF f;
    UPDATE spillway.flows f SET term = reign, counted = 'postgres', head = n.head, term_from = n.head + 1
    FROM (
      SELECT f.id, f.head + CASE WHEN f.counted = 'redis' THEN spillway.leap() ELSE 0 END AS head
      FROM spillway.flows f JOIN unnest(tenants, flows) AS i (tenant, flow) ON f.tenant = i.tenant AND f.flow = i.flow
      WHERE f.durability = 'fast' AND (f.term < reign OR f.counted <> 'postgres')
    ) n
    WHERE f.id = n.id;
  END IF;
  SELECT a.* INTO at, terms, firsts, durabilities, odd FROM spillway.append(token, is_repeat, tenants, flows, counts,
    wanted, flow_at, rank, types, sources, keys, asked, payloads) a;
END $$;

-- Makes fast flows known before Redis counts them. Answers each one's durability, and the number beyond which a
-- Redis that knows nothing of it begins.
CREATE FUNCTION spillway.register_fast(reign integer, tenants text[], flows text[])
RETURNS TABLE (place bigint, durability text, base bigint)
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
  INSERT INTO spillway.flows (tenant, flow, durability, term, head, counted)
  SELECT i.tenant, i.flow, 'fast', reign, 0, 'redis' FROM unnest(tenants, flows) WITH ORDINALITY AS i (tenant, flow, place)
  ORDER BY i.tenant, i.flow
  ON CONFLICT (tenant, flow) DO NOTHING;
  -- From now on Redis may give numbers of which nobody here hears in time: who goes on after it leaps over them.
  UPDATE spillway.flows f SET term = reign, counted = 'redis',
    base = f.head + CASE WHEN f.counted = 'redis' THEN spillway.leap() ELSE 0 END,
    term_from = f.head + CASE WHEN f.counted = 'redis' THEN spillway.leap() ELSE 0 END + 1
  FROM unnest(tenants, flows) AS i (tenant, flow)
  WHERE f.tenant = i.tenant AND f.flow = i.flow AND f.durability = 'fast'
    -- Who comes a reign too late must not undo what the next one has done.
    AND f.term < reign;
  RETURN QUERY SELECT i.place, f.durability, CASE WHEN f.head > f.base THEN f.head + spillway.leap() ELSE f.base END
  FROM unnest(tenants, flows) WITH ORDINALITY AS i (tenant, flow, place)
  JOIN spillway.flows f ON f.tenant = i.tenant AND f.flow = i.flow;
END $$;

-- Says how far fast flows have come on Redis, while it reigns or its reign ends.
CREATE FUNCTION spillway.report_heads(reign integer, tenants text[], flows text[], heads bigint[]) RETURNS void
LANGUAGE sql SET search_path = pg_catalog, pg_temp AS $$
  UPDATE spillway.flows f SET head = greatest(f.head, i.head), term = reign, counted = 'redis',
    term_from = CASE WHEN f.term < reign THEN f.head + 1 ELSE f.term_from END, last_at = clock_timestamp()
  FROM unnest(tenants, flows, heads) AS i (tenant, flow, head)
  WHERE f.tenant = i.tenant AND f.flow = i.flow AND f.durability = 'fast' AND f.term <= reign
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
  reign record;
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
  IF spillway.is_fast(tenant, flow) THEN
    SELECT t.number, t.store INTO reign FROM spillway.term t;
    IF reign.store = 'redis' THEN
      RAISE EXCEPTION 'DURABILITY_FIXED: the flow % is fast and Redis has it: publish it through the library', flow USING ERRCODE = '22023';
    END IF;
    -- Under the reign's term, and beyond what Redis may have given.
    SELECT * INTO answer FROM spillway.append_fast(reign.number, NULL, false, ARRAY[tenant], ARRAY[flow], ARRAY[1], ARRAY[NULL::text],
      ARRAY[1], ARRAY[1], ARRAY[type], ARRAY[source], ARRAY[key], ARRAY[NULL::text], ARRAY[payload::text]);
  ELSE
    SELECT * INTO answer FROM spillway.append(NULL, false, ARRAY[tenant], ARRAY[flow], ARRAY[1], ARRAY[NULL::text], ARRAY[1], ARRAY[1],
      ARRAY[type], ARRAY[source], ARRAY[key], ARRAY[NULL::text], ARRAY[payload::text]);
  END IF;
  PERFORM set_config('spillway.tenants', outer_tenants, true);
  IF announce THEN PERFORM pg_notify('spillway', '*'); END IF;
  RETURN coalesce(answer.odd #>> '{1,term}', answer.terms[1]::text) || '-' || coalesce(answer.odd #>> '{1,seq}', answer.firsts[1]::text);
END $$;

GRANT CREATE ON SCHEMA spillway TO spillway_app;
ALTER FUNCTION spillway.is_fast(text, text) OWNER TO spillway_app;
ALTER FUNCTION spillway.append_fast(integer, uuid, boolean, text[], text[], integer[], text[], integer[], integer[], text[], text[], text[], text[], text[]) OWNER TO spillway_app;
REVOKE CREATE ON SCHEMA spillway FROM spillway_app;
REVOKE ALL ON FUNCTION spillway.is_fast(text, text) FROM PUBLIC;
REVOKE ALL ON FUNCTION spillway.append_fast(integer, uuid, boolean, text[], text[], integer[], text[], integer[], integer[], text[], text[], text[], text[], text[]) FROM PUBLIC;
