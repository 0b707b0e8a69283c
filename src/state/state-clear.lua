-- KEYS: state, meta
-- ARGV: life
-- Removes the state of a flow; the flow stays in the lists. Answers {now in microseconds, the engagement that it had};
-- nothing for a flow that nobody knows.
if redis.call('EXISTS', meta) == 0 then return {} end
local clock = redis.call('TIME')
local now = clock[1] .. string.format('%06d', tonumber(clock[2]))
local before = redis.call('HGET', meta, 'engagement') or ''
redis.call('DEL', state)
redis.call('HDEL', meta, 'status', 'phase', 'progress', 'engagement')
redis.call('HSET', meta, 'updated_at', now)
redis.call('PEXPIRE', meta, life)
return { now, before }
