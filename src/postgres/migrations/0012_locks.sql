-- Locks while PostgreSQL reigns, and leases on their way from one store to another.

-- One row a name; a free one stays for some minutes, so that a lock that comes and goes is updated in its page (HOT).
CREATE TABLE spillway.locks (
  tenant text COLLATE "C" NOT NULL,
  name text COLLATE "C" NOT NULL,
  fence bigint NOT NULL,
  claim text COLLATE "C" NOT NULL,
  holder text NOT NULL,
  since timestamptz NOT NULL,
  -- Past: nobody holds it.
  until timestamptz NOT NULL,
  ttl_ms integer NOT NULL,
  kept_ms integer NOT NULL,
  -- The reign that knows this lease. One of an older reign does not count unless it was reclaimed for this one.
  reign integer NOT NULL,
  PRIMARY KEY (tenant, name)
) WITH (fillfactor = 50, autovacuum_vacuum_scale_factor = 0.05);
SELECT spillway.protect('spillway.locks');

-- Who waits, in the order of arrival. A place is kept until `until`, which its owner moves on while it waits.
CREATE TABLE spillway.lock_waiters (
  tenant text COLLATE "C" NOT NULL,
  name text COLLATE "C" NOT NULL,
  claim text COLLATE "C" NOT NULL,
  ticket bigint GENERATED ALWAYS AS IDENTITY,
  until timestamptz NOT NULL,
  reign integer NOT NULL,
  PRIMARY KEY (tenant, name, ticket)
) WITH (fillfactor = 50, autovacuum_vacuum_scale_factor = 0.05);
CREATE UNIQUE INDEX lock_waiters_claim ON spillway.lock_waiters (tenant, name, claim);
SELECT spillway.protect('spillway.lock_waiters');

-- Fences grow by a sequence a bucket: no grant waits for the commit of another, and none is given twice, whoever
-- crashes. They are taken under the lock's row.
DO $$
BEGIN
  FOR bucket IN 0..63 LOOP
    EXECUTE format('CREATE SEQUENCE spillway.fences_%s', bucket);
    EXECUTE format('GRANT USAGE ON SEQUENCE spillway.fences_%s TO spillway_app', bucket);
  END LOOP;
END $$;

-- A fence of this reign, above all that it has given for this lock; null if it has no more.
CREATE FUNCTION spillway.next_fence(tenant text, name text, fence_floor bigint) RETURNS bigint LANGUAGE sql
SET search_path = pg_catalog, pg_temp AS $$
  SELECT CASE WHEN n < 4294967296 THEN fence_floor + n END
  FROM nextval(('spillway.fences_' || (get_byte(sha256(convert_to(tenant || '/' || name, 'UTF8')), 0) & 63))::regclass) AS n
$$;

-- Who is first of those who wait for a lock and are alive.
CREATE FUNCTION spillway.first_waiter(tenant text, name text, reign integer) RETURNS text LANGUAGE sql
SET search_path = pg_catalog, pg_temp AS $$
  SELECT w.claim FROM spillway.lock_waiters w
  WHERE w.tenant = first_waiter.tenant AND w.name = first_waiter.name
    AND w.reign = first_waiter.reign AND w.until > clock_timestamp()
  ORDER BY w.ticket LIMIT 1
$$;

-- What every statement on locks begins with: whose rows, and that PostgreSQL reigns under this number.
CREATE FUNCTION spillway.begin_locks(number integer, tenants text[]) RETURNS void LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  IF NOT spillway.reigns(number, 'postgres') THEN
    RAISE EXCEPTION 'TERM_UNKNOWN: term % does not reign on PostgreSQL', number USING ERRCODE = '55000';
  END IF;
  PERFORM set_config('spillway.tenants', ARRAY(SELECT DISTINCT unnest(tenants))::text, true);
  -- A lock's row is held for as long as a statement like this one takes.
  PERFORM set_config('lock_timeout', '800ms', true);
END $$;

-- Takes locks that are free, or places in line; the arrays are one element an ask. Answers for each, by its place from
-- 1: the fence of its lease; or that it is busy, with the holder, since when (ms since 1970), what is left (ms), and
-- whether it is first in line; or FULL or SPENT as the verdict.
CREATE FUNCTION spillway.take_locks(
  number integer, fence_floor bigint, most integer, may_grant boolean,
  tenants text[], names text[], claims text[], holders text[], ttls integer[], kepts integer[], patiences integer[]
) RETURNS TABLE (
  place bigint, verdict text, given bigint, whose text, since_ms float8, left_ms float8, is_first boolean
)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET jit = off SET enable_seqscan = off
AS $$
#variable_conflict use_column
DECLARE
  ask record;
  known spillway.locks;
  now_at timestamptz;
  live boolean;
  first text;
  granted boolean := false;
BEGIN
  PERFORM spillway.begin_locks(number, tenants);
  -- In one order in all sessions, or two of them would wait for each other.
  FOR ask IN
    SELECT i.* FROM unnest(tenants, names, claims, holders, ttls, kepts, patiences) WITH ORDINALITY
      AS i (tenant, name, claim, holder, ttl, kept, patience, place)
    ORDER BY i.tenant COLLATE "C", i.name COLLATE "C", i.place
  LOOP
    LOOP
      SELECT * INTO known FROM spillway.locks l WHERE l.tenant = ask.tenant AND l.name = ask.name FOR UPDATE;
      EXIT WHEN FOUND;
      INSERT INTO spillway.locks VALUES (ask.tenant, ask.name, 0, '', '', clock_timestamp(), clock_timestamp(), 0, 0, 0)
      ON CONFLICT DO NOTHING;
    END LOOP;
    now_at := clock_timestamp();
    live := known.reign >= number AND known.until > now_at;
    place := ask.place;
    verdict := 'BUSY';
    given := NULL; whose := NULL; since_ms := NULL; left_ms := 0;

    IF live AND known.claim = ask.claim THEN
      -- The answer to the first ask was lost.
      UPDATE spillway.locks l SET until = greatest(l.until, now_at + ask.kept * interval '1 millisecond')
      WHERE l.tenant = ask.tenant AND l.name = ask.name;
      given := known.fence;
      granted := true;
      RETURN NEXT;
      CONTINUE;
    END IF;
    first := spillway.first_waiter(ask.tenant, ask.name, number);
    IF NOT live AND may_grant AND (first IS NULL OR first = ask.claim) THEN
      given := spillway.next_fence(ask.tenant, ask.name, fence_floor);
      IF given IS NULL THEN
        verdict := 'SPENT';
      ELSE
        UPDATE spillway.locks l SET fence = given, claim = ask.claim, holder = ask.holder, since = now_at,
          until = now_at + ask.kept * interval '1 millisecond', ttl_ms = ask.ttl, kept_ms = ask.kept, reign = number
        WHERE l.tenant = ask.tenant AND l.name = ask.name;
        granted := true;
        IF first IS NOT NULL THEN
          DELETE FROM spillway.lock_waiters w WHERE w.tenant = ask.tenant AND w.name = ask.name
            AND (w.claim = ask.claim OR w.reign <> number OR w.until <= now_at);
        END IF;
      END IF;
      RETURN NEXT;
      CONTINUE;
    END IF;

    IF ask.patience > 0 THEN
      UPDATE spillway.lock_waiters w SET until = now_at + ask.patience * interval '1 millisecond'
      WHERE w.tenant = ask.tenant AND w.name = ask.name AND w.claim = ask.claim AND w.reign = number;
      IF NOT FOUND THEN
        IF (SELECT count(*) FROM spillway.lock_waiters w WHERE w.tenant = ask.tenant AND w.name = ask.name) >= most THEN
          DELETE FROM spillway.lock_waiters w WHERE w.tenant = ask.tenant AND w.name = ask.name
            AND (w.reign <> number OR w.until <= now_at);
          IF NOT FOUND THEN
            verdict := 'FULL';
            RETURN NEXT;
            CONTINUE;
          END IF;
        END IF;
        -- A place of an older reign is none.
        DELETE FROM spillway.lock_waiters w WHERE w.tenant = ask.tenant AND w.name = ask.name AND w.claim = ask.claim;
        INSERT INTO spillway.lock_waiters (tenant, name, claim, until, reign)
        VALUES (ask.tenant, ask.name, ask.claim, now_at + ask.patience * interval '1 millisecond', number);
        first := coalesce(first, ask.claim);
      END IF;
    END IF;
    is_first := coalesce(first = ask.claim, false);
    IF live THEN
      whose := known.holder;
      since_ms := floor(extract(epoch FROM known.since) * 1000);
      left_ms := extract(epoch FROM known.until - now_at) * 1000;
    END IF;
    RETURN NEXT;
  END LOOP;
  -- A place in line may be lost with the server; a lease may not.
  IF granted AND current_setting('synchronous_commit') = 'off' THEN
    PERFORM set_config('synchronous_commit', 'on', true);
  ELSIF NOT granted THEN
    PERFORM set_config('synchronous_commit', 'off', true);
  END IF;
END $$;

-- Keeps leases for longer, never shorter than they are; a null ttl: for as long as it was asked for. Answers a row for
-- each that is held under its fence.
CREATE FUNCTION spillway.renew_locks(
  number integer, tenants text[], names text[], fences bigint[], ttls integer[], kepts integer[]
) RETURNS TABLE (place bigint, claim text, holder text, since_ms float8, ttl_ms integer)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET jit = off SET enable_seqscan = off
AS $$
#variable_conflict use_column
DECLARE
  ask record;
BEGIN
  PERFORM spillway.begin_locks(number, tenants);
  IF current_setting('synchronous_commit') = 'off' THEN
    PERFORM set_config('synchronous_commit', 'on', true);
  END IF;
  FOR ask IN
    SELECT i.* FROM unnest(tenants, names, fences, ttls, kepts) WITH ORDINALITY AS i (tenant, name, fence, ttl, kept, place)
    ORDER BY i.tenant COLLATE "C", i.name COLLATE "C", i.place
  LOOP
    UPDATE spillway.locks l SET ttl_ms = coalesce(ask.ttl, l.ttl_ms), kept_ms = coalesce(ask.kept, l.kept_ms),
      until = greatest(l.until, clock_timestamp() + coalesce(ask.kept, l.kept_ms) * interval '1 millisecond')
    WHERE l.tenant = ask.tenant AND l.name = ask.name AND l.fence = ask.fence AND l.reign >= number
      AND l.until > clock_timestamp()
    RETURNING ask.place, l.claim, l.holder, floor(extract(epoch FROM l.since) * 1000), l.ttl_ms
    INTO place, claim, holder, since_ms, ttl_ms;
    IF FOUND THEN RETURN NEXT; END IF;
  END LOOP;
END $$;

-- Gives leases back, each by its fence, or by its claim with its place in line; the other one is null. Answers for
-- each whether there was a lease, and who is next where the lock is free.
CREATE FUNCTION spillway.give_back_locks(number integer, tenants text[], names text[], fences bigint[], claims text[])
RETURNS TABLE (place bigint, released boolean, next text)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET jit = off SET enable_seqscan = off
AS $$
#variable_conflict use_column
DECLARE
  ask record;
BEGIN
  PERFORM spillway.begin_locks(number, tenants);
  -- A server that crashes now keeps the lock until the lease ends by itself: nobody waits for the disk for that.
  PERFORM set_config('synchronous_commit', 'off', true);
  FOR ask IN
    SELECT i.* FROM unnest(tenants, names, fences, claims) WITH ORDINALITY AS i (tenant, name, fence, claim, place)
    ORDER BY i.tenant COLLATE "C", i.name COLLATE "C", i.place
  LOOP
    place := ask.place;
    next := NULL;
    UPDATE spillway.locks l SET until = clock_timestamp()
    WHERE l.tenant = ask.tenant AND l.name = ask.name AND (l.fence = ask.fence OR l.claim = ask.claim)
      AND l.reign >= number AND l.until > clock_timestamp();
    released := FOUND;
    IF ask.claim IS NOT NULL THEN
      DELETE FROM spillway.lock_waiters w
      WHERE w.tenant = ask.tenant AND w.name = ask.name AND w.claim = ask.claim;
    END IF;
    IF released OR NOT EXISTS (
      SELECT FROM spillway.locks l WHERE l.tenant = ask.tenant AND l.name = ask.name
        AND l.reign >= number AND l.until > clock_timestamp())
    THEN
      next := spillway.first_waiter(ask.tenant, ask.name, number);
    END IF;
    RETURN NEXT;
  END LOOP;
END $$;

-- Takes in leases from elsewhere for the reign `next_reign`; never instead of a higher fence, never shorter, and none
-- whose lock was broken.
CREATE FUNCTION spillway.reclaim_locks(
  next_reign integer, tenants text[], names text[], fences bigint[], claims text[], holders text[], sinces float8[],
  ttls integer[], kepts integer[], lefts float8[]
) RETURNS void LANGUAGE sql SET search_path = pg_catalog, pg_temp AS $$
  INSERT INTO spillway.locks AS l (tenant, name, fence, claim, holder, since, until, ttl_ms, kept_ms, reign)
  SELECT i.tenant, i.name, i.fence, i.claim, i.holder, to_timestamp(i.since / 1000),
    clock_timestamp() + i.left_ms * interval '1 millisecond', i.ttl, i.kept, next_reign
  FROM unnest(tenants, names, fences, claims, holders, sinces, ttls, kepts, lefts)
    AS i (tenant, name, fence, claim, holder, since, ttl, kept, left_ms)
  WHERE NOT EXISTS (SELECT FROM spillway.fences_seen s WHERE s.tenant = i.tenant AND s.name = i.name AND s.fence > i.fence)
  ORDER BY i.tenant COLLATE "C", i.name COLLATE "C"
  ON CONFLICT (tenant, name) DO UPDATE SET fence = excluded.fence, claim = excluded.claim, holder = excluded.holder,
    since = excluded.since, ttl_ms = excluded.ttl_ms, kept_ms = excluded.kept_ms, reign = greatest(l.reign, excluded.reign),
    until = CASE WHEN l.fence = excluded.fence THEN greatest(l.until, excluded.until) ELSE excluded.until END
  WHERE l.fence <= excluded.fence
$$;

GRANT CREATE ON SCHEMA spillway TO spillway_app;
ALTER FUNCTION spillway.take_locks(integer, bigint, integer, boolean, text[], text[], text[], text[], integer[], integer[], integer[]) OWNER TO spillway_app;
ALTER FUNCTION spillway.renew_locks(integer, text[], text[], bigint[], integer[], integer[]) OWNER TO spillway_app;
ALTER FUNCTION spillway.give_back_locks(integer, text[], text[], bigint[], text[]) OWNER TO spillway_app;
REVOKE CREATE ON SCHEMA spillway FROM spillway_app;
REVOKE ALL ON FUNCTION spillway.take_locks(integer, bigint, integer, boolean, text[], text[], text[], text[], integer[], integer[], integer[]) FROM PUBLIC;
REVOKE ALL ON FUNCTION spillway.renew_locks(integer, text[], text[], bigint[], integer[], integer[]) FROM PUBLIC;
REVOKE ALL ON FUNCTION spillway.give_back_locks(integer, text[], text[], bigint[], text[]) FROM PUBLIC;
