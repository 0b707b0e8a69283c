-- Limits while PostgreSQL reigns: a row a limit, and a row an entry of those that keep each request for itself. Times
-- are ms since 1970 by the clock of this server.
CREATE TABLE spillway.limits (
  tenant text COLLATE "C" NOT NULL,
  name text COLLATE "C" NOT NULL,
  algorithm text COLLATE "C" NOT NULL
    CHECK (algorithm IN ('fixed', 'sliding', 'sliding-log', 'token-bucket', 'concurrency')),
  -- As it was last asked with.
  most bigint NOT NULL,
  per_ms bigint NOT NULL,
  -- A counter as src/limits/counters.ts has it, and when it was as old as nothing. Of entries: nothing.
  a bigint NOT NULL DEFAULT 0,
  b bigint NOT NULL DEFAULT 0,
  at_ms bigint NOT NULL DEFAULT 0,
  -- From when on it says nothing more.
  ends_ms bigint NOT NULL DEFAULT 0,
  touched_ms bigint NOT NULL DEFAULT 0,
  -- What an instance was told before that is not taken for true afterwards.
  reset_ms bigint NOT NULL DEFAULT 0,
  PRIMARY KEY (tenant, name, algorithm)
) WITH (fillfactor = 50, autovacuum_vacuum_scale_factor = 0.05);
SELECT spillway.protect('spillway.limits');

CREATE TABLE spillway.limit_entries (
  tenant text COLLATE "C" NOT NULL,
  name text COLLATE "C" NOT NULL,
  algorithm text COLLATE "C" NOT NULL,
  id text COLLATE "C" NOT NULL,
  cost integer NOT NULL,
  ends_ms bigint NOT NULL,
  PRIMARY KEY (tenant, name, algorithm, id)
) WITH (autovacuum_vacuum_scale_factor = 0.05);
CREATE INDEX limit_entries_ends ON spillway.limit_entries (tenant, name, algorithm, ends_ms);
SELECT spillway.protect('spillway.limit_entries');

CREATE FUNCTION spillway.now_ms() RETURNS bigint LANGUAGE sql VOLATILE SET search_path = pg_catalog, pg_temp AS
$$ SELECT floor(extract(epoch FROM clock_timestamp()) * 1000)::bigint $$;

-- Decides takes one after the other, each by all of its limits or by none. tenants/names/algorithms: the limits, each
-- once, in ascending order, so that two batches do not wait for each other in a circle. sizes/ids: one element a take;
-- places (in the limits, from 1) and the rest: one element a limit of a take. Answers {"allowed": one a take, "room",
-- "a", "b", "age": one a limit of a take}, as take.lua does. Numbers are doubles, as there: whole ones below 2^53.
-- Its commit does not wait for the disk: a crash of PostgreSQL forgets what was counted in its last half second or so.
CREATE FUNCTION spillway.take(
  reign integer, tenants text[], names text[], algorithms text[],
  sizes integer[], ids text[], places integer[], maxes float8[], pers float8[], costs float8[]
) RETURNS json
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp SET jit = off
AS $$
DECLARE
  now float8;
  sa float8[]; sb float8[]; sat float8[];
  changed_most float8[] := array_fill(0, ARRAY[cardinality(names)]); changed_per float8[] := changed_most;
  changed boolean[] := array_fill(false, ARRAY[cardinality(names)]);
  allowed boolean[] := '{}'; rooms boolean[] := '{}'; xs float8[] := '{}'; ys float8[] := '{}'; zs float8[] := '{}';
  fits boolean; room boolean; kind text;
  most float8; per float8; cost float8; a float8; b float8; age float8; unit float8;
  first integer := 1; p integer; last_end float8;
BEGIN
  PERFORM set_config('spillway.tenants', (CASE WHEN tenants[1] = tenants[cardinality(tenants)]
    THEN ARRAY[tenants[1]] ELSE ARRAY(SELECT DISTINCT unnest(tenants)) END)::text, true),
    set_config('synchronous_commit', 'off', true), set_config('lock_timeout', '250ms', true);
  IF NOT spillway.reigns(reign, 'postgres') THEN
    RAISE EXCEPTION 'TERM_UNKNOWN: term % does not reign on PostgreSQL', reign USING ERRCODE = '55000';
  END IF;
  LOOP
    SELECT array_agg(r.a ORDER BY r.place), array_agg(r.b ORDER BY r.place), array_agg(r.at_ms ORDER BY r.place) INTO sa, sb, sat
    FROM (
      SELECT i.place, l.a, l.b, l.at_ms
      FROM unnest(tenants, names, algorithms) WITH ORDINALITY AS i (tenant, name, algorithm, place)
      JOIN spillway.limits l ON l.tenant = i.tenant AND l.name = i.name AND l.algorithm = i.algorithm
      ORDER BY i.place FOR UPDATE OF l
    ) r;
    EXIT WHEN coalesce(cardinality(sa), 0) = cardinality(names);
    INSERT INTO spillway.limits (tenant, name, algorithm, most, per_ms)
    SELECT i.tenant, i.name, i.algorithm, 1, 1 FROM unnest(tenants, names, algorithms) WITH ORDINALITY AS i (tenant, name, algorithm, place)
    ORDER BY i.place ON CONFLICT DO NOTHING;
  END LOOP;
  -- After the locks: what was waited for counts by a later time than what came before.
  now := spillway.now_ms();

  FOR t IN 1..cardinality(sizes) LOOP
    fits := true;
    FOR i IN first..first + sizes[t] - 1 LOOP
      p := places[i]; kind := algorithms[p]; most := maxes[i]; per := pers[i]; cost := costs[i];
      -- A clock that went back makes a counter younger, which is the safe side.
      age := greatest(now - sat[p], 0);
      IF kind = 'fixed' THEN
        IF age >= per THEN sa[p] := 0; age := 0; END IF;
        sat[p] := now - age;
        room := sa[p] + cost <= most;
      ELSIF kind = 'token-bucket' THEN
        sa[p] := greatest(0, sa[p] - age * most); sat[p] := now; age := 0;
        room := sa[p] + cost * per <= most * per;
      ELSIF kind = 'sliding' THEN
        IF age >= 2 * per THEN sa[p] := 0; sb[p] := 0; age := 0;
        ELSIF age >= per THEN sa[p] := sb[p]; sb[p] := 0; age := age - per;
        END IF;
        sat[p] := now - age;
        room := (sb[p] + cost) * per + sa[p] * (per - age) <= most * per;
      ELSE
        SELECT coalesce(sum(e.cost), 0), coalesce(max(e.ends_ms), now) - now INTO a, b FROM spillway.limit_entries e
        WHERE e.tenant = tenants[p] AND e.name = names[p] AND e.algorithm = kind AND e.ends_ms > now;
        room := a + cost <= most; age := 0;
        IF NOT room THEN
          SELECT e.ends_ms - now INTO age FROM (
            SELECT x.ends_ms, sum(x.cost) OVER (ORDER BY x.ends_ms, x.id) AS gone FROM spillway.limit_entries x
            WHERE x.tenant = tenants[p] AND x.name = names[p] AND x.algorithm = kind AND x.ends_ms > now
          ) e WHERE e.gone >= a + cost - most ORDER BY e.ends_ms LIMIT 1;
        END IF;
        xs[i] := a; ys[i] := b;
      END IF;
      zs[i] := age; rooms[i] := room;
      fits := fits AND room;
    END LOOP;
    allowed[t] := fits;
    FOR i IN first..first + sizes[t] - 1 LOOP
      p := places[i]; kind := algorithms[p]; cost := costs[i];
      IF kind IN ('sliding-log', 'concurrency') THEN
        IF fits AND cost > 0 THEN
          per := pers[i];
          DELETE FROM spillway.limit_entries e
          WHERE e.tenant = tenants[p] AND e.name = names[p] AND e.algorithm = kind AND e.ends_ms <= now;
          INSERT INTO spillway.limit_entries VALUES (tenants[p], names[p], kind, ids[t], cost, now + per) ON CONFLICT DO NOTHING;
          xs[i] := xs[i] + cost; ys[i] := greatest(ys[i], per);
          changed[p] := true; changed_most[p] := maxes[i]; changed_per[p] := per; sat[p] := now + ys[i];
        END IF;
      ELSE
        IF fits AND cost <> 0 THEN
          IF kind = 'sliding' THEN sb[p] := greatest(0, sb[p] + cost);
          ELSE sa[p] := greatest(0, sa[p] + cost * CASE kind WHEN 'fixed' THEN 1 ELSE pers[i] END);
          END IF;
          changed[p] := true; changed_most[p] := maxes[i]; changed_per[p] := pers[i];
        END IF;
        xs[i] := sa[p]; ys[i] := sb[p];
      END IF;
    END LOOP;
    first := first + sizes[t];
  END LOOP;

  UPDATE spillway.limits l SET most = c.most, per_ms = c.per, a = c.a, b = c.b, at_ms = c.at, touched_ms = now,
    ends_ms = CASE l.algorithm WHEN 'fixed' THEN c.at + c.per WHEN 'sliding' THEN c.at + 2 * c.per
      WHEN 'token-bucket' THEN c.at + ceil(c.a / c.most) ELSE greatest(l.ends_ms, c.at) END
  FROM (
    SELECT u.* FROM unnest(tenants, names, algorithms, changed_most, changed_per, sa, sb, sat, changed)
      AS u (tenant, name, algorithm, most, per, a, b, at, changed) WHERE u.changed
  ) c
  WHERE l.tenant = c.tenant AND l.name = c.name AND l.algorithm = c.algorithm;
  RETURN json_build_object('allowed', allowed, 'room', rooms, 'a', xs, 'b', ys, 'age', zs);
END $$;

-- A counter as it stands after its age, as in src/limits/counters.ts; an age of per says that nothing of it is left.
CREATE FUNCTION spillway.settled_counter(algorithm text, a float8, b float8, age float8, most float8, per float8)
RETURNS TABLE (left_a float8, left_b float8, left_age float8) LANGUAGE sql IMMUTABLE SET search_path = pg_catalog, pg_temp AS $$
  SELECT CASE WHEN algorithm = 'token-bucket' THEN greatest(0, a - age * most)
      WHEN age < per THEN a WHEN algorithm = 'sliding' AND age < 2 * per THEN b ELSE 0 END,
    CASE WHEN algorithm <> 'token-bucket' AND age < per THEN b ELSE 0 END,
    CASE WHEN algorithm = 'token-bucket' THEN 0
      WHEN age < per THEN age WHEN algorithm = 'sliding' AND age < 2 * per THEN age - per ELSE per END
$$;

-- Brings what an instance was told of limits, within the transaction in which it says that it has stopped: by the greater
-- value, whatever comes first. told: how many ms ago. Of counters a, b and age as src/limits/counters.ts has them; of a
-- sliding log a is how many there are, counted as if just made; of a lease a is its cost, id its id; left: the ms that an
-- entry has left.
CREATE FUNCTION spillway.tell_limits(
  tenants text[], names text[], algorithms text[], ids text[], maxes float8[], pers float8[],
  a float8[], b float8[], ages float8[], lefts float8[], told float8[]
) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp SET jit = off
AS $$
#variable_conflict use_column
DECLARE
  now float8 := spillway.now_ms();
BEGIN
  -- The rows of entries too: whoever holds them decides alone how many entries are missing.
  INSERT INTO spillway.limits AS l (tenant, name, algorithm, most, per_ms, a, b, at_ms, ends_ms, touched_ms)
  SELECT i.tenant, i.name, i.algorithm, max(i.most), max(i.per),
    CASE WHEN min(i.left_ms) > 0 THEN 0 ELSE max(s.left_a) END, max(s.left_b), now - min(s.left_age),
    CASE WHEN max(i.left_ms) > 0 THEN now + max(i.left_ms) WHEN i.algorithm = 'token-bucket' THEN now + ceil(max(s.left_a) / max(i.most))
      ELSE now + 2 * max(i.per) END, now
  FROM unnest(tenants, names, algorithms, maxes, pers, a, b, ages, lefts, told)
    AS i (tenant, name, algorithm, most, per, a, b, age, left_ms, told)
  CROSS JOIN LATERAL spillway.settled_counter(i.algorithm, i.a, i.b, i.age, i.most, i.per) s
  WHERE NOT EXISTS (SELECT FROM spillway.limits r
    WHERE r.tenant = i.tenant AND r.name = i.name AND r.algorithm = i.algorithm AND r.reset_ms > now - i.told)
  GROUP BY i.tenant, i.name, i.algorithm
  ORDER BY i.tenant COLLATE "C", i.name COLLATE "C", i.algorithm COLLATE "C"
  ON CONFLICT (tenant, name, algorithm) DO UPDATE SET most = excluded.most, per_ms = excluded.per_ms,
    touched_ms = excluded.touched_ms, ends_ms = greatest(l.ends_ms, excluded.ends_ms),
    (a, b, at_ms) = (
      SELECT greatest(s.left_a, excluded.a), greatest(s.left_b, excluded.b), greatest(now - s.left_age, excluded.at_ms)
      FROM spillway.settled_counter(l.algorithm, l.a, l.b, greatest(now - l.at_ms, 0), excluded.most, excluded.per_ms) s
    );
  INSERT INTO spillway.limit_entries (tenant, name, algorithm, id, cost, ends_ms)
  SELECT i.tenant, i.name, i.algorithm, 'carried:' || gen_random_uuid(), i.a - there.n, now + i.left_ms
  FROM unnest(tenants, names, algorithms, a, lefts, told) AS i (tenant, name, algorithm, a, left_ms, told)
  JOIN spillway.limits r ON r.tenant = i.tenant AND r.name = i.name AND r.algorithm = i.algorithm AND r.reset_ms <= now - i.told
  CROSS JOIN LATERAL (SELECT coalesce(sum(e.cost), 0)::float8 AS n FROM spillway.limit_entries e
    WHERE e.tenant = i.tenant AND e.name = i.name AND e.algorithm = i.algorithm AND e.ends_ms > now) there
  WHERE i.algorithm = 'sliding-log' AND i.a > there.n
  UNION ALL
  SELECT i.tenant, i.name, i.algorithm, i.id, i.a, now + i.left_ms
  FROM unnest(tenants, names, algorithms, ids, a, lefts, told) AS i (tenant, name, algorithm, id, a, left_ms, told)
  JOIN spillway.limits r ON r.tenant = i.tenant AND r.name = i.name AND r.algorithm = i.algorithm AND r.reset_ms <= now - i.told
  WHERE i.algorithm = 'concurrency' AND i.left_ms > 0
  ON CONFLICT (tenant, name, algorithm, id) DO UPDATE SET ends_ms = greatest(limit_entries.ends_ms, excluded.ends_ms);
END $$;

GRANT CREATE ON SCHEMA spillway TO spillway_app;
ALTER FUNCTION spillway.take(integer, text[], text[], text[], integer[], text[], integer[], float8[], float8[], float8[]) OWNER TO spillway_app;
REVOKE CREATE ON SCHEMA spillway FROM spillway_app;
REVOKE ALL ON FUNCTION spillway.take(integer, text[], text[], text[], integer[], text[], integer[], float8[], float8[], float8[]) FROM PUBLIC;
