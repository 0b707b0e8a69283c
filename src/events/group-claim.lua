-- KEYS: group
-- ARGV: owner, lease, start, life
-- Takes the work of a group for the lease (ms), if nobody else has it; a new group begins at start. Answers {place,
-- attempts}; nothing while somebody else has it.
local clock = redis.call('TIME')
local now = clock[1] * 1000 + math.floor(clock[2] / 1000)
local state = redis.call('HMGET', group, 'place', 'attempts', 'owner', 'until')
if state[3] and state[3] ~= owner and tonumber(state[4]) >= now then return {} end
local place, attempts = state[1] or start, state[2] or '0'
redis.call('HSET', group, 'place', place, 'attempts', attempts, 'owner', owner, 'until', string.format('%.0f', now + lease))
redis.call('PEXPIRE', group, life)
return { place, attempts }
