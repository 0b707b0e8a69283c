-- Fences that tables of the user's own have seen: with it a table refuses the writes of an old holder.
CREATE TABLE spillway.fences_seen (
  tenant text COLLATE "C" NOT NULL,
  name text COLLATE "C" NOT NULL,
  fence bigint NOT NULL,
  -- Within an hour.
  seen_at timestamptz NOT NULL DEFAULT clock_timestamp(),
  PRIMARY KEY (tenant, name)
) WITH (fillfactor = 50, autovacuum_vacuum_scale_factor = 0.05);
-- A write changes no indexed column but once an hour.
CREATE INDEX fences_seen_at ON spillway.fences_seen (seen_at);
SELECT spillway.protect('spillway.fences_seen');

-- Whether no greater fence of this lock was seen; remembers this one if so. Call it in the transaction that writes: the
-- lock's row is held until that ends, so writes of two holders cannot pass each other.
CREATE FUNCTION spillway.fence_ok(tenant text, name text, fence bigint) RETURNS boolean
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
DECLARE
  outer_tenants text := coalesce(current_setting('spillway.tenants', true), '');
  ok boolean;
BEGIN
  IF fence IS NULL OR coalesce(octet_length(tenant), 0) NOT BETWEEN 1 AND 128
    OR coalesce(octet_length(name), 0) NOT BETWEEN 1 AND 256
  THEN
    RAISE EXCEPTION 'INVALID_ARGUMENT: fence_ok takes a tenant of 1 to 128 bytes, a lock of 1 to 256 bytes and a fence'
      USING ERRCODE = '22023';
  END IF;
  PERFORM set_config('spillway.tenants', ARRAY[fence_ok.tenant]::text, true);
  INSERT INTO spillway.fences_seen AS s (tenant, name, fence)
  VALUES (fence_ok.tenant, fence_ok.name, fence_ok.fence)
  ON CONFLICT (tenant, name) DO UPDATE SET fence = excluded.fence,
    seen_at = CASE WHEN s.seen_at < excluded.seen_at - interval '1 hour' THEN excluded.seen_at ELSE s.seen_at END
  WHERE s.fence <= excluded.fence;
  ok := FOUND;
  PERFORM set_config('spillway.tenants', outer_tenants, true);
  RETURN ok;
END $$;

-- The same for the tenant `default`.
CREATE FUNCTION spillway.fence_ok(name text, fence bigint) RETURNS boolean LANGUAGE sql
SET search_path = pg_catalog, pg_temp AS $$ SELECT spillway.fence_ok('default', fence_ok.name, fence_ok.fence) $$;

GRANT CREATE ON SCHEMA spillway TO spillway_app;
ALTER FUNCTION spillway.fence_ok(text, text, bigint) OWNER TO spillway_app;
REVOKE CREATE ON SCHEMA spillway FROM spillway_app;
REVOKE ALL ON FUNCTION spillway.fence_ok(text, text, bigint) FROM PUBLIC;
