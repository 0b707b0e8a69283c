-- The numbers of a fast flow begin on Redis once a reign. Whoever lets them begin has leave from here, which nobody else has; a
-- Redis that has lost the flow while its reign goes on needs another, and numbers that nobody can have had.

DROP FUNCTION spillway.register_fast(integer, text[], text[]);

-- Makes fast flows known before Redis counts them. Answers each one's durability, its base, and whether the caller may
-- let its numbers begin behind that: 'first' in this reign, 'again' if Redis has lost it ("lost" says that it has), or
-- '' if somebody else was let. Whoever goes on from here leaps from the base or from what was reported, the greater of
-- the two, so no base is answered that is not kept.
CREATE FUNCTION spillway.register_fast(reign integer, tenants text[], flows text[], lost boolean)
RETURNS TABLE (place bigint, durability text, base bigint, begins text)
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  made bigint[];
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
    INSERT INTO spillway.heads (flow_id, head, term, tenant, flow, durability, counted)
    SELECT m.id, 0, reign, m.tenant, m.flow, 'fast', 'redis' FROM made m
    RETURNING flow_id
  )
  SELECT array_agg(flow_id) INTO made FROM headed;
  -- From now on Redis may give numbers of which nobody here hears in time: who goes on after it leaps over them.
  WITH taken AS (
    UPDATE spillway.heads h SET term = reign, counted = 'redis',
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
      UPDATE spillway.heads h SET base = greatest(h.head, h.base) + spillway.leap()
      FROM unnest(tenants, flows) AS i (tenant, flow)
      JOIN spillway.flows f ON f.tenant = i.tenant AND f.flow = i.flow
      WHERE h.flow_id = f.id AND h.durability = 'fast' AND h.term = reign AND h.counted = 'redis'
        AND h.flow_id <> ALL (coalesce(made, '{}') || coalesce(begun, '{}'))
      RETURNING h.flow_id
    )
    SELECT array_agg(flow_id) INTO anew FROM taken;
  END IF;
  RETURN QUERY SELECT i.place, h.durability, greatest(h.base, h.head), CASE
    WHEN h.flow_id = ANY (made) OR h.flow_id = ANY (begun) THEN 'first'
    WHEN h.flow_id = ANY (anew) THEN 'again' ELSE '' END
  FROM unnest(tenants, flows) WITH ORDINALITY AS i (tenant, flow, place)
  JOIN spillway.flows f ON f.tenant = i.tenant AND f.flow = i.flow
  JOIN spillway.heads h ON h.flow_id = f.id;
END $$;
