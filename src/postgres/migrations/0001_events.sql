-- Flows and their events: the log of record.
-- The application role has no login: statements of ours take it for one transaction, so that row-level
-- security holds even where the connecting user is a superuser or owns the tables.
DO $$
BEGIN
  IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'spillway_app') THEN
    CREATE ROLE spillway_app NOLOGIN NOSUPERUSER NOBYPASSRLS;
  END IF;
EXCEPTION WHEN duplicate_object OR unique_violation THEN
  NULL; -- roles are of the whole server: a migration of another database made it at the same moment
END $$;
DO $$
BEGIN
  -- From PostgreSQL 16 on, who made a role is its member without the right to take it.
  IF NOT pg_has_role(current_user, 'spillway_app',
    CASE WHEN current_setting('server_version_num')::integer >= 160000 THEN 'SET' ELSE 'MEMBER' END)
  THEN
    EXECUTE format('GRANT spillway_app TO %I', current_user);
  END IF;
END $$;
GRANT USAGE ON SCHEMA spillway TO spillway_app;

-- The tenants whose rows this transaction may touch.
CREATE FUNCTION spillway.tenants() RETURNS text[] LANGUAGE sql STABLE PARALLEL SAFE AS
$$ SELECT coalesce(nullif(current_setting('spillway.tenants', true), '')::text[], '{}') $$;

-- True for system work that crosses tenants (retention, start-up).
CREATE FUNCTION spillway.all_tenants() RETURNS boolean LANGUAGE sql STABLE PARALLEL SAFE AS
$$ SELECT coalesce(current_setting('spillway.scope', true), '') = 'all' $$;

-- Makes a table a tenant table. The sub-selects are evaluated once a statement, not once a row.
CREATE FUNCTION spillway.protect(tenant_table regclass) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
  EXECUTE format('ALTER TABLE %s ENABLE ROW LEVEL SECURITY', tenant_table);
  EXECUTE format('ALTER TABLE %s FORCE ROW LEVEL SECURITY', tenant_table);
  EXECUTE format(
    'CREATE POLICY tenant ON %s USING (tenant = ANY ((SELECT spillway.tenants())::text[]) OR (SELECT spillway.all_tenants()))',
    tenant_table);
  EXECUTE format('GRANT SELECT, INSERT, UPDATE, DELETE ON %s TO spillway_app', tenant_table);
END $$;

-- The log's own life: grows when the database was restored from a backup, and when flows are forgotten, so that
-- events that get a number for the second time are told from those that had it before.
CREATE TABLE spillway.log_life (
  one boolean PRIMARY KEY DEFAULT true CHECK (one),
  term integer NOT NULL CHECK (term > 0)
);
INSERT INTO spillway.log_life (term) VALUES (1);
GRANT SELECT, UPDATE ON spillway.log_life TO spillway_app;

-- One row a flow. No index holds a column that a publish changes, so its update stays in its page (HOT).
CREATE TABLE spillway.flows (
  id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  tenant text COLLATE "C" NOT NULL,
  flow text COLLATE "C" NOT NULL,
  durability text COLLATE "C" NOT NULL CHECK (durability IN ('durable', 'fast')),
  term integer NOT NULL,
  term_from bigint NOT NULL DEFAULT 1,
  head bigint NOT NULL,
  floor bigint NOT NULL DEFAULT 0,
  created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
  last_at timestamptz NOT NULL DEFAULT clock_timestamp(),
  -- When the oldest kept event was taken; null when none is kept.
  oldest_at timestamptz,
  UNIQUE (tenant, flow)
) WITH (fillfactor = 60, autovacuum_vacuum_scale_factor = 0.05);
CREATE INDEX flows_oldest ON spillway.flows (oldest_at) WHERE oldest_at IS NOT NULL;
-- Flows without events, of which old ones are forgotten.
CREATE INDEX flows_empty ON spillway.flows (created_at) WHERE oldest_at IS NULL;
SELECT spillway.protect('spillway.flows');

CREATE TABLE spillway.events (
  flow_id bigint NOT NULL,
  seq bigint NOT NULL,
  term integer NOT NULL,
  tenant text COLLATE "C" NOT NULL,
  type text COLLATE "C" NOT NULL,
  source text COLLATE "C" NOT NULL,
  key text COLLATE "C",
  at timestamptz NOT NULL,
  -- JSON text, kept byte for byte: json and jsonb would parse it again, jsonb would change it.
  payload text NOT NULL,
  PRIMARY KEY (flow_id, seq)
) WITH (autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_insert_scale_factor = 0.1,
        autovacuum_vacuum_cost_delay = 1);
CREATE UNIQUE INDEX events_key ON spillway.events (flow_id, key) WHERE key IS NOT NULL;
SELECT spillway.protect('spillway.events');

-- What spillway.append answered, under the batch's token: a repeat after a lost answer reads it here.
CREATE TABLE spillway.receipts (
  token uuid PRIMARY KEY,
  at timestamptz NOT NULL,
  terms integer[] NOT NULL,
  firsts bigint[] NOT NULL,
  durabilities text NOT NULL,
  odd jsonb
);
CREATE INDEX receipts_at ON spillway.receipts (at);
GRANT SELECT, INSERT, UPDATE, DELETE ON spillway.receipts TO spillway_app;

-- Numbers and stores a batch of events of any tenants: the one way into spillway.events.
--
-- The caller groups: tenants/flows/counts/wanted are one element a flow, in ascending (tenant, flow) order;
-- flow_at (place in those, from 1), rank (1, 2 … within its flow) and the rest are one element an event.
-- Answers one row: when, and for each flow its term, the seq of its first event here and the first letter of its
-- durability. Event i gets the first seq of its flow + rank - 1, unless "odd" is not null: then that tells for
-- every event, by its place from 1, its seq, the event that had its key before, or the durability that refused it.
-- An event whose key stands earlier in the batch has rank 0.
--
-- Without hash and merge joins the heads are updated in the order of the caller's arrays, so that two batches
-- do not wait for each other in a circle. Compiling the plans would take longer than running them.
CREATE FUNCTION spillway.append(
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
        -- Never back: the life may have grown while this waited for the flow.
        term = greatest(f.term, life),
        term_from = CASE WHEN f.term >= life THEN f.term_from ELSE f.head + 1 END,
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

  UPDATE spillway.flows f SET head = w.last
  FROM (
    SELECT c.id, c.first - 1 + (SELECT count(*) FROM jsonb_each(answer) o
      WHERE flow_at[o.key::integer] = c.place AND o.value ? 'seq' AND NOT o.value ? 'term') AS last
    FROM unnest(ids, firsts) WITH ORDINALITY AS c (id, first, place)
  ) w
  WHERE f.id = w.id AND f.head <> w.last;
  RETURN answer;
END $$;

-- Publishes within the caller's own transaction: the event is there if and only if that commits. Holds the
-- flow's head until then, so other publishes to this flow wait. Readers see it at their next look (the
-- backstop), or at once with announce => true, which takes PostgreSQL's global NOTIFY lock at commit.
CREATE FUNCTION spillway.publish(
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
  SELECT * INTO answer FROM spillway.append(NULL, false, ARRAY[tenant], ARRAY[flow], ARRAY[1], ARRAY[NULL::text], ARRAY[1], ARRAY[1],
    ARRAY[type], ARRAY[source], ARRAY[key], ARRAY[NULL::text], ARRAY[payload::text]);
  PERFORM set_config('spillway.tenants', outer_tenants, true);
  IF announce THEN PERFORM pg_notify('spillway', '*'); END IF;
  RETURN coalesce(answer.odd #>> '{1,term}', answer.terms[1]::text) || '-' || coalesce(answer.odd #>> '{1,seq}', answer.firsts[1]::text);
END $$;

GRANT CREATE ON SCHEMA spillway TO spillway_app;
ALTER FUNCTION spillway.append(uuid, boolean, text[], text[], integer[], text[], integer[], integer[], text[], text[], text[], text[], text[]) OWNER TO spillway_app;
ALTER FUNCTION spillway.append_odd(timestamptz, text[], bigint[], bigint[], integer[], text[], integer[], text[], text[], text[], text[], text[]) OWNER TO spillway_app;
ALTER FUNCTION spillway.publish(text, text, text, json, text, text, boolean) OWNER TO spillway_app;
REVOKE CREATE ON SCHEMA spillway FROM spillway_app;
REVOKE ALL ON FUNCTION spillway.append(uuid, boolean, text[], text[], integer[], text[], integer[], integer[], text[], text[], text[], text[], text[]) FROM PUBLIC;
REVOKE ALL ON FUNCTION spillway.append_odd(timestamptz, text[], bigint[], bigint[], integer[], text[], integer[], text[], text[], text[], text[], text[]) FROM PUBLIC;
REVOKE ALL ON FUNCTION spillway.publish(text, text, text, json, text, text, boolean) FROM PUBLIC;
