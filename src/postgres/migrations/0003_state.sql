-- What flows say of themselves, and the directory of all flows of a tenant: every flow has a row, from its first
-- event or its first state on.
CREATE TABLE spillway.flow_states (
  tenant text COLLATE "C" NOT NULL,
  flow text COLLATE "C" NOT NULL,
  -- JSON text as it was set; null when none is set.
  state text,
  status text COLLATE "C" NOT NULL DEFAULT 'pending',
  phase text,
  progress double precision,
  engagement text COLLATE "C",
  created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
  updated_at timestamptz NOT NULL DEFAULT clock_timestamp(),
  PRIMARY KEY (tenant, flow)
);
CREATE INDEX flow_states_recent ON spillway.flow_states (tenant, updated_at DESC);
CREATE INDEX flow_states_age ON spillway.flow_states (updated_at);
CREATE INDEX flow_states_engagement ON spillway.flow_states (tenant, engagement, updated_at DESC) WHERE engagement IS NOT NULL;
CREATE INDEX flow_states_status ON spillway.flow_states (tenant, status, updated_at DESC);
SELECT spillway.protect('spillway.flow_states');

CREATE FUNCTION spillway.list_flow() RETURNS trigger LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  INSERT INTO spillway.flow_states (tenant, flow) VALUES (NEW.tenant, NEW.flow) ON CONFLICT DO NOTHING;
  RETURN NULL;
END $$;
CREATE TRIGGER list_flow AFTER INSERT ON spillway.flows FOR EACH ROW EXECUTE FUNCTION spillway.list_flow();
INSERT INTO spillway.flow_states (tenant, flow, created_at, updated_at)
  SELECT tenant, flow, created_at, last_at FROM spillway.flows ON CONFLICT DO NOTHING;
