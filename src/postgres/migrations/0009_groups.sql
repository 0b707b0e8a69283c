-- Groups of processors: how far each has come in a flow, and who is at it.
CREATE TABLE spillway.flow_groups (
  tenant text COLLATE "C" NOT NULL,
  flow text COLLATE "C" NOT NULL,
  name text COLLATE "C" NOT NULL,
  -- The place behind the last event that is done with.
  term integer NOT NULL,
  seq bigint NOT NULL,
  -- Failed runs of the event behind that.
  attempts integer NOT NULL DEFAULT 0,
  owner uuid,
  until timestamptz,
  touched_at timestamptz NOT NULL DEFAULT clock_timestamp(),
  PRIMARY KEY (tenant, flow, name)
);
CREATE INDEX flow_groups_touched ON spillway.flow_groups (touched_at);
SELECT spillway.protect('spillway.flow_groups');

-- Events that a group has given up on.
CREATE TABLE spillway.dead_events (
  tenant text COLLATE "C" NOT NULL,
  flow text COLLATE "C" NOT NULL,
  name text COLLATE "C" NOT NULL,
  place bigint GENERATED ALWAYS AS IDENTITY,
  id text COLLATE "C" NOT NULL,
  type text COLLATE "C" NOT NULL,
  source text COLLATE "C" NOT NULL,
  payload text NOT NULL,
  at timestamptz NOT NULL,
  attempts integer NOT NULL,
  error text NOT NULL,
  died_at timestamptz NOT NULL DEFAULT clock_timestamp(),
  PRIMARY KEY (tenant, flow, name, place)
);
CREATE INDEX dead_events_age ON spillway.dead_events (died_at);
SELECT spillway.protect('spillway.dead_events');
