-- Places in many flows at once, for cursors that would be too long as text: a cursor names one of these and
-- says how far its reader has come since. A row lives for a day.
CREATE TABLE spillway.stream_cursors (
  id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  tenant text COLLATE "C" NOT NULL,
  places text NOT NULL,
  at timestamptz NOT NULL DEFAULT clock_timestamp()
);
CREATE INDEX stream_cursors_at ON spillway.stream_cursors (tenant, at);
SELECT spillway.protect('spillway.stream_cursors');
