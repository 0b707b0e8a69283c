-- KEYS: group
-- ARGV: owner, lease
-- Keeps the work of a group for the lease (ms), or lets go of it ('0'). Answers 0 if it is not the owner's any more.
if redis.call('HGET', group, 'owner') ~= owner then return 0 end
if lease == '0' then return redis.call('HDEL', group, 'owner', 'until') end
local clock = redis.call('TIME')
redis.call('HSET', group, 'until', string.format('%.0f', clock[1] * 1000 + math.floor(clock[2] / 1000) + lease))
return 1
