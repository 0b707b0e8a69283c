-- KEYS: list
-- ARGV: most, life, ...flows
-- Moves flows forward in a list, never back. flows: when, in microseconds, and which. What is too old leaves the list,
-- and the least active ones where there are too many.
redis.call('ZADD', list, 'GT', unpack(flows))
redis.call('ZREMRANGEBYRANK', list, 0, -(tonumber(most) + 1))
local clock = redis.call('TIME')
redis.call('ZREMRANGEBYSCORE', list, '-inf', '(' .. string.format('%.0f', clock[1] * 1000000 - life * 1000))
redis.call('PEXPIRE', list, life)
return 1
