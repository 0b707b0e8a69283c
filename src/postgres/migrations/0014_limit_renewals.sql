-- Keeps a lease of concurrency limits for longer: by all of them, or by none. pers: ms from now on, one a name. Answers
-- what it weighs, one a name; NULL if it is over by any of them, or was never there. Its commit does not wait for the disk.
CREATE FUNCTION spillway.renew_limit_lease(reign integer, holder text, names text[], pers float8[], lease text)
RETURNS integer[]
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp SET jit = off
AS $$
DECLARE
  now float8;
  costs integer[];
BEGIN
  PERFORM set_config('spillway.tenants', ARRAY[holder]::text, true),
    set_config('synchronous_commit', 'off', true), set_config('lock_timeout', '250ms', true);
  IF NOT spillway.reigns(reign, 'postgres') THEN
    RAISE EXCEPTION 'TERM_UNKNOWN: term % does not reign on PostgreSQL', reign USING ERRCODE = '55000';
  END IF;
  -- As takes do, in their order: who takes meanwhile would find a place that is kept after all.
  PERFORM FROM spillway.limits l
  WHERE l.tenant = holder AND l.name = ANY (names) AND l.algorithm = 'concurrency' ORDER BY l.name FOR UPDATE;
  now := spillway.now_ms();
  SELECT array_agg(e.cost ORDER BY i.place) INTO costs FROM unnest(names) WITH ORDINALITY AS i (name, place)
  JOIN spillway.limit_entries e ON e.tenant = holder AND e.name = i.name AND e.algorithm = 'concurrency' AND e.id = lease
  WHERE e.ends_ms > now;
  IF coalesce(cardinality(costs), 0) < cardinality(names) THEN
    RETURN NULL;
  END IF;
  UPDATE spillway.limit_entries e SET ends_ms = greatest(e.ends_ms, now + i.per)
  FROM unnest(names, pers) AS i (name, per)
  WHERE e.tenant = holder AND e.name = i.name AND e.algorithm = 'concurrency' AND e.id = lease;
  UPDATE spillway.limits l SET ends_ms = greatest(l.ends_ms, now + i.per), touched_ms = now
  FROM unnest(names, pers) AS i (name, per)
  WHERE l.tenant = holder AND l.name = i.name AND l.algorithm = 'concurrency';
  RETURN costs;
END $$;

GRANT CREATE ON SCHEMA spillway TO spillway_app;
ALTER FUNCTION spillway.renew_limit_lease(integer, text, text[], float8[], text) OWNER TO spillway_app;
REVOKE CREATE ON SCHEMA spillway FROM spillway_app;
REVOKE ALL ON FUNCTION spillway.renew_limit_lease(integer, text, text[], float8[], text) FROM PUBLIC;
