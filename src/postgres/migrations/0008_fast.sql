-- Fast flows while Redis counts them: what PostgreSQL has to know of them beforehand and afterwards.

-- Makes fast flows known before Redis counts them. Answers each one's durability, and its base: the number beyond
-- which a Redis that knows nothing of it begins. Whoever goes on from here leaps from the base or from what was
-- reported, the greater of the two, so no base is answered that is not kept.
CREATE FUNCTION spillway.register_fast(reign integer, tenants text[], flows text[])
RETURNS TABLE (place bigint, durability text, base bigint)
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
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
  )
  INSERT INTO spillway.heads (flow_id, head, term, tenant, flow, durability, counted)
  SELECT m.id, 0, reign, m.tenant, m.flow, 'fast', 'redis' FROM made m;
  -- From now on Redis may give numbers of which nobody here hears in time: who goes on after it leaps over them.
  UPDATE spillway.heads h SET term = reign, counted = 'redis',
    base = greatest(h.head, h.base) + CASE WHEN h.counted = 'redis' THEN spillway.leap() ELSE 0 END,
    term_from = greatest(h.head, h.base) + CASE WHEN h.counted = 'redis' THEN spillway.leap() ELSE 0 END + 1
  FROM unnest(tenants, flows) AS i (tenant, flow)
  JOIN spillway.flows f ON f.tenant = i.tenant AND f.flow = i.flow
  WHERE h.flow_id = f.id AND h.durability = 'fast' AND h.term < reign
    -- Looked at once more under the lock: it must not undo what the next one has done.
    AND EXISTS (SELECT FROM spillway.term t WHERE t.number = reign AND t.store = 'redis');
  -- Counted in this reign already: a Redis that knows nothing of it has lost it since.
  UPDATE spillway.heads h SET base = h.head + spillway.leap()
  FROM unnest(tenants, flows) AS i (tenant, flow)
  JOIN spillway.flows f ON f.tenant = i.tenant AND f.flow = i.flow
  WHERE h.flow_id = f.id AND h.durability = 'fast' AND h.term = reign AND h.counted = 'redis' AND h.head > h.base;
  RETURN QUERY SELECT i.place, h.durability, greatest(h.base, h.head)
  FROM unnest(tenants, flows) WITH ORDINALITY AS i (tenant, flow, place)
  JOIN spillway.flows f ON f.tenant = i.tenant AND f.flow = i.flow
  JOIN spillway.heads h ON h.flow_id = f.id;
END $$;

-- Says how far fast flows have come on Redis, while it reigns or its reign ends. Answers whether it still is that
-- reign: of what comes later nothing is kept.
CREATE FUNCTION spillway.report_heads(reign integer, tenants text[], flows text[], counts bigint[]) RETURNS boolean
LANGUAGE sql SET search_path = pg_catalog, pg_temp AS $$
  UPDATE spillway.heads h SET head = greatest(h.head, i.head), term = reign, counted = 'redis',
    term_from = CASE WHEN h.term < reign THEN h.head + 1 ELSE h.term_from END
  FROM unnest(tenants, flows, counts) AS i (tenant, flow, head)
  JOIN spillway.flows f ON f.tenant = i.tenant AND f.flow = i.flow
  WHERE h.flow_id = f.id AND h.durability = 'fast' AND h.term <= reign
    AND EXISTS (SELECT FROM spillway.term t WHERE t.number = reign AND t.store = 'redis');
  SELECT EXISTS (SELECT FROM spillway.term t WHERE t.number = reign AND t.store = 'redis')
$$;
