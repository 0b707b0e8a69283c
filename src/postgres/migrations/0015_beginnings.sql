-- The numbers of a fast flow begin on Redis once a reign. Whoever lets them begin has leave from here, which nobody else has; a
-- Redis that has lost the flow while its reign goes on needs another, and numbers that nobody can have had.
--
-- Flows that Redis counts are forgotten when nobody has spoken of them for long. One that comes to be again in the same
-- reign has numbers beyond those of all that were forgotten in it: its ids would be theirs.

SELECT set_config('spillway.scope', 'all', true);
ALTER TABLE spillway.heads
  -- What the first number of a fast flow follows on.
  ADD COLUMN born bigint NOT NULL DEFAULT 0,
  -- When Redis was last said to count it, give or take a minute: each change touches the index.
  ADD COLUMN heard_at timestamptz;
UPDATE spillway.heads SET heard_at = clock_timestamp() WHERE counted = 'redis';
CREATE INDEX heads_heard ON spillway.heads (heard_at) WHERE counted = 'redis';
SELECT set_config('spillway.scope', '', true);

-- The last reign of which fast flows were forgotten, and the greatest number that one of them can have had in it.
ALTER TABLE spillway.log_life ADD COLUMN fast_reign integer NOT NULL DEFAULT 0, ADD COLUMN fast_floor bigint NOT NULL DEFAULT 0;

-- Whoever makes a flow that was forgotten looks here after that: its name was free.
CREATE FUNCTION spillway.begin_fast() RETURNS trigger LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  SELECT l.fast_floor INTO NEW.born FROM spillway.log_life l WHERE l.fast_reign = NEW.term;
  NEW.born := coalesce(NEW.born, 0);
  NEW.head := NEW.born;
  NEW.term_from := NEW.born + 1;
  RETURN NEW;
END $$;
CREATE TRIGGER begin_fast BEFORE INSERT ON spillway.heads FOR EACH ROW WHEN (NEW.durability = 'fast')
  EXECUTE FUNCTION spillway.begin_fast();

CREATE FUNCTION spillway.heard(before timestamptz) RETURNS timestamptz LANGUAGE sql PARALLEL SAFE AS $$
  SELECT CASE WHEN before > clock_timestamp() - interval '1 minute' THEN before ELSE clock_timestamp() END
$$;

DROP FUNCTION spillway.register_fast(integer, text[], text[]);

-- Makes fast flows known before Redis counts them. Answers each one's durability, its base, and whether the caller may
-- let its numbers begin behind that: 'new' if nobody knew it, 'first' in this reign, 'again' if Redis has lost it
-- ("lost" says that it has), or '' if somebody else was let. Whoever goes on from here leaps from the base or from what
-- was reported, the greater of the two, so no base is answered that is not kept. A flow that is being forgotten may
-- have no answer.
CREATE FUNCTION spillway.register_fast(reign integer, tenants text[], flows text[], lost boolean)
RETURNS TABLE (place bigint, durability text, base bigint, begins text)
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  fresh bigint[];
  begun bigint[];
  anew bigint[];
BEGIN
  -- Late by a whole reign it would be given numbers that the next one gives as well.
  IF NOT EXISTS (SELECT FROM spillway.term t WHERE t.number = reign AND t.store = 'redis') THEN
    RAISE EXCEPTION 'TERM_UNKNOWN: term % does not reign on Redis', reign USING ERRCODE = '55000';
  END IF;
  WITH made AS (
    INSERT INTO spillway.flows (tenant, flow, durability)
    SELECT i.tenant, i.flow, 'fast' FROM unnest(tenants, flows) AS i (tenant, flow)
    WHERE NOT EXISTS (SELECT FROM spillway.flows f WHERE f.tenant = i.tenant AND f.flow = i.flow)
    ORDER BY i.tenant, i.flow
    ON CONFLICT (tenant, flow) DO NOTHING
    RETURNING id, flows.tenant, flows.flow
  ), headed AS (
    INSERT INTO spillway.heads (flow_id, head, term, tenant, flow, durability, counted, heard_at)
    SELECT m.id, 0, reign, m.tenant, m.flow, 'fast', 'redis', clock_timestamp() FROM made m
    RETURNING flow_id
  )
  SELECT array_agg(flow_id) INTO fresh FROM headed;
  -- From now on Redis may give numbers of which nobody here hears in time: who goes on after it leaps over them.
  WITH taken AS (
    UPDATE spillway.heads h SET term = reign, counted = 'redis', heard_at = spillway.heard(h.heard_at),
      base = greatest(h.head, h.base) + CASE WHEN h.counted = 'redis' THEN spillway.leap() ELSE 0 END,
      term_from = greatest(h.head, h.base) + CASE WHEN h.counted = 'redis' THEN spillway.leap() ELSE 0 END + 1
    FROM unnest(tenants, flows) AS i (tenant, flow)
    JOIN spillway.flows f ON f.tenant = i.tenant AND f.flow = i.flow
    WHERE h.flow_id = f.id AND h.durability = 'fast' AND h.term < reign
      -- Looked at once more under the lock: it must not undo what the next one has done.
      AND EXISTS (SELECT FROM spillway.term t WHERE t.number = reign AND t.store = 'redis')
    RETURNING h.flow_id
  )
  SELECT array_agg(flow_id) INTO begun FROM taken;
  IF lost THEN
    -- Instances let what is not reported run up to half of a leap: beyond that nobody has been in this reign.
    WITH taken AS (
      UPDATE spillway.heads h SET base = greatest(h.head, h.base) + spillway.leap(), heard_at = spillway.heard(h.heard_at)
      FROM unnest(tenants, flows) AS i (tenant, flow)
      JOIN spillway.flows f ON f.tenant = i.tenant AND f.flow = i.flow
      WHERE h.flow_id = f.id AND h.durability = 'fast' AND h.term = reign AND h.counted = 'redis'
        AND h.flow_id <> ALL (coalesce(fresh, '{}') || coalesce(begun, '{}'))
      RETURNING h.flow_id
    )
    SELECT array_agg(flow_id) INTO anew FROM taken;
  END IF;
  RETURN QUERY SELECT i.place, h.durability, greatest(h.base, h.head), CASE
    WHEN h.flow_id = ANY (fresh) THEN 'new'
    WHEN h.flow_id = ANY (begun) THEN 'first'
    WHEN h.flow_id = ANY (anew) THEN 'again' ELSE '' END
  FROM unnest(tenants, flows) WITH ORDINALITY AS i (tenant, flow, place)
  JOIN spillway.flows f ON f.tenant = i.tenant AND f.flow = i.flow
  JOIN spillway.heads h ON h.flow_id = f.id;
END $$;

-- As before, and that it was heard of.
CREATE OR REPLACE FUNCTION spillway.report_heads(reign integer, tenants text[], flows text[], counts bigint[]) RETURNS boolean
LANGUAGE sql SET search_path = pg_catalog, pg_temp AS $$
  UPDATE spillway.heads h SET head = greatest(h.head, i.head), term = reign, counted = 'redis',
    heard_at = spillway.heard(h.heard_at),
    term_from = CASE WHEN h.term < reign THEN h.head + 1 ELSE h.term_from END
  FROM unnest(tenants, flows, counts) AS i (tenant, flow, head)
  JOIN spillway.flows f ON f.tenant = i.tenant AND f.flow = i.flow
  WHERE h.flow_id = f.id AND h.durability = 'fast' AND h.term <= reign
    AND EXISTS (SELECT FROM spillway.term t WHERE t.number = reign AND t.store = 'redis');
  SELECT EXISTS (SELECT FROM spillway.term t WHERE t.number = reign AND t.store = 'redis')
$$;
