-- KEYS: state, meta
-- ARGV: text, life, ...fields
-- Replaces the state of a flow. fields: names and values of what lists need of it, those that it has. Answers {now in
-- microseconds, the engagement that it had}.
local clock = redis.call('TIME')
local now = clock[1] .. string.format('%06d', tonumber(clock[2]))
local before = redis.call('HGET', meta, 'engagement') or ''
redis.call('SET', state, text, 'PX', life)
redis.call('HDEL', meta, 'phase', 'progress', 'engagement')
redis.call('HSET', meta, 'updated_at', now, unpack(fields))
redis.call('HSETNX', meta, 'created_at', now)
redis.call('PEXPIRE', meta, life)
return { now, before }
