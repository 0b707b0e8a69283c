-- KEYS: state, meta
-- ARGV: at, life
-- A flow was published to, at so many microseconds: it is known from then on, and what it says of itself stays. Answers
-- its engagement.
redis.call('HSETNX', meta, 'created_at', at)
redis.call('HSETNX', meta, 'updated_at', at)
redis.call('PEXPIRE', meta, life)
redis.call('PEXPIRE', state, life)
return redis.call('HGET', meta, 'engagement') or ''
