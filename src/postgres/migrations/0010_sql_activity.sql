-- Which flows spillway.publish() has published to: no process sees that, and the list of a tenant's flows is ordered by
-- it. One row a flow until a process has taken it. It is written while the flow's head is held, so a user's open
-- transaction makes nobody wait here who would not wait for that.
CREATE TABLE spillway.sql_activity (
  tenant text COLLATE "C" NOT NULL,
  flow text COLLATE "C" NOT NULL,
  at timestamptz NOT NULL,
  PRIMARY KEY (tenant, flow)
) WITH (fillfactor = 50, autovacuum_vacuum_scale_factor = 0.05);
SELECT spillway.protect('spillway.sql_activity');
