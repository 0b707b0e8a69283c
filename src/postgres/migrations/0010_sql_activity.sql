-- Which flows spillway.publish() has published to: no process sees that, and the list of a tenant's flows is ordered by
-- it. One row a flow until a process has taken it; in the user's transaction it waits for nobody who does not wait
-- for the flow's head as well.
CREATE TABLE spillway.sql_activity (
  tenant text COLLATE "C" NOT NULL,
  flow text COLLATE "C" NOT NULL,
  at timestamptz NOT NULL,
  PRIMARY KEY (tenant, flow)
) WITH (fillfactor = 50, autovacuum_vacuum_scale_factor = 0.05);
SELECT spillway.protect('spillway.sql_activity');

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
  INSERT INTO spillway.sql_activity AS s VALUES (tenant, flow, answer.at)
  ON CONFLICT ON CONSTRAINT sql_activity_pkey DO UPDATE SET at = greatest(s.at, excluded.at);
  PERFORM set_config('spillway.tenants', outer_tenants, true);
  IF answer.odd #>> '{1,refused}' IS NOT NULL THEN
    RAISE EXCEPTION 'DURABILITY_FIXED: the flow % is fast and its log is elsewhere: publish to it through the library', flow
      USING ERRCODE = '22023';
  END IF;
  IF announce THEN PERFORM pg_notify('spillway', '*'); END IF;
  RETURN coalesce(answer.odd #>> '{1,term}', answer.terms[1]::text) || '-' || coalesce(answer.odd #>> '{1,seq}', answer.firsts[1]::text);
END $$;
