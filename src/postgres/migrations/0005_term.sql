-- Which store reigns: one row, changed only by compare-and-set; and one row a life of an instance.
CREATE TABLE spillway.term (
  one boolean PRIMARY KEY DEFAULT true CHECK (one),
  number integer NOT NULL CHECK (number > 0),
  store text COLLATE "C" NOT NULL CHECK (store IN ('redis', 'postgres')),
  phase text COLLATE "C" NOT NULL CHECK (phase IN ('open', 'closing')),
  -- Where a closing leads, who leads it, and why.
  want text COLLATE "C" CHECK (want IN ('redis', 'postgres')),
  switcher text COLLATE "C",
  reason text,
  -- Of the Redis that this term was opened on, and of the carry-over into it.
  redis_identity text,
  attempt text COLLATE "C",
  quarantine_until timestamptz,
  -- How long Redis must have been well before it reigns again: doubled where a reign there was short.
  healthy_ms integer NOT NULL DEFAULT 5000,
  -- An operator wants it so: no return by itself.
  held boolean NOT NULL DEFAULT false,
  opened_at timestamptz NOT NULL DEFAULT clock_timestamp()
);
-- The first reign has nothing to come back from.
-- Fast flows that are there were numbered under the log's life.
INSERT INTO spillway.term (number, store, phase, healthy_ms) SELECT l.term, 'postgres', 'open', 0 FROM spillway.log_life l;
GRANT SELECT, UPDATE ON spillway.term TO spillway_app;

CREATE TABLE spillway.instances (
  life uuid PRIMARY KEY,
  name text NOT NULL,
  beat_at timestamptz NOT NULL,
  -- Its view of Redis: ok, unsure, down; none for an instance without Redis.
  view text COLLATE "C" NOT NULL CHECK (view IN ('ok', 'unsure', 'down', 'none')),
  identity text,
  -- Whether what it sees there is this term's: its identity, and its marker.
  matches boolean NOT NULL,
  -- The term for which it has stopped.
  stopped integer NOT NULL DEFAULT 0
);
GRANT SELECT, INSERT, UPDATE, DELETE ON spillway.instances TO spillway_app;

-- Every turn, for those who look after the system. Bounded by who writes it.
CREATE TABLE spillway.turns (
  number integer PRIMARY KEY,
  store text NOT NULL,
  reason text,
  switcher text,
  closed_at timestamptz,
  opened_at timestamptz NOT NULL,
  early boolean NOT NULL,
  carried bigint NOT NULL DEFAULT 0
);
GRANT SELECT, INSERT, DELETE ON spillway.turns TO spillway_app;

-- Writes an instance's beat and answers the term's row with the fleet as it stands, in one statement.
CREATE FUNCTION spillway.beat(me uuid, my_name text, my_view text, my_identity text, my_match boolean, window_ms integer)
RETURNS TABLE (term json, fleet json) LANGUAGE sql SET search_path = pg_catalog, pg_temp AS $$
  WITH mine AS (
    INSERT INTO spillway.instances AS i (life, name, beat_at, view, identity, matches)
    VALUES (me, my_name, clock_timestamp(), my_view, my_identity, my_match)
    ON CONFLICT (life) DO UPDATE SET beat_at = excluded.beat_at, view = excluded.view,
      identity = excluded.identity, matches = excluded.matches
    RETURNING i.*
  ), gone AS (
    -- Ten times the time in which anybody asks for it.
    DELETE FROM spillway.instances WHERE beat_at < clock_timestamp() - window_ms * interval '10 milliseconds'
  ), fleet AS (
    SELECT * FROM spillway.instances WHERE life <> me
      AND beat_at > clock_timestamp() - window_ms * interval '1 millisecond'
    UNION ALL SELECT * FROM mine
  )
  SELECT (SELECT json_build_object('number', t.number, 'store', t.store, 'phase', t.phase, 'want', t.want,
      'switcher', t.switcher, 'reason', t.reason, 'identity', t.redis_identity, 'attempt', t.attempt,
      'healthyMs', t.healthy_ms, 'held', t.held, 'openMs', extract(epoch FROM clock_timestamp() - t.opened_at) * 1000,
      'quarantineMs', extract(epoch FROM t.quarantine_until - clock_timestamp()) * 1000) FROM spillway.term t),
    (SELECT json_agg(json_build_object('life', f.life, 'name', f.name, 'view', f.view, 'identity', f.identity,
      'matches', f.matches, 'stopped', f.stopped,
      'ageMs', extract(epoch FROM clock_timestamp() - f.beat_at) * 1000)) FROM fleet f)
$$;

-- Whether this term is the one that reigns, for statements of record.
CREATE FUNCTION spillway.reigns(number integer, store text) RETURNS boolean LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp AS $$
  SELECT EXISTS (SELECT FROM spillway.term t WHERE t.number = reigns.number AND t.store = reigns.store AND t.phase = 'open')
$$;
