-- When a flow was last active: its newest event or the last change of its state. Publishing does not write it; each
-- process writes it for many flows together, a little later.
ALTER TABLE spillway.flow_states ADD COLUMN active_at timestamptz;
-- Row-level security holds for the owner too.
SELECT set_config('spillway.scope', 'all', true);
UPDATE spillway.flow_states s SET active_at = greatest(s.updated_at, (
  SELECT x.at FROM spillway.flows f JOIN spillway.events x ON x.flow_id = f.id
  WHERE f.tenant = s.tenant AND f.flow = s.flow ORDER BY x.seq DESC LIMIT 1));
SELECT set_config('spillway.scope', '', true);
ALTER TABLE spillway.flow_states ALTER COLUMN active_at SET DEFAULT clock_timestamp(), ALTER COLUMN active_at SET NOT NULL;

DROP INDEX spillway.flow_states_recent, spillway.flow_states_engagement, spillway.flow_states_status;
CREATE INDEX flow_states_recent ON spillway.flow_states (tenant, active_at DESC);
CREATE INDEX flow_states_engagement ON spillway.flow_states (tenant, engagement, active_at DESC) WHERE engagement IS NOT NULL;
CREATE INDEX flow_states_status ON spillway.flow_states (tenant, status, active_at DESC);
