-- Retention deletes as many events as are published. A vacuum that pauses falls behind it: measured at 40,000 events a
-- second, the table was at 2.9 times its size after seven million more events, and grew on (docs/performance.md).
ALTER TABLE spillway.events SET (autovacuum_vacuum_cost_delay = 0);
