-- KEYS: group, stream, dead
-- ARGV: owner, lease, place, failed, name, life, kept, ...event
-- Notes how far a group is, and keeps its work for the lease (ms). failed is 1 after a run that is tried again; event is
-- given for one that is not: names and values of what the dead ones keep. Answers 0 if the work is not the owner's any
-- more.
if redis.call('HGET', group, 'owner') ~= owner then return 0 end
local clock = redis.call('TIME')
local til = string.format('%.0f', clock[1] * 1000 + math.floor(clock[2] / 1000) + lease)
redis.call('HSET', group, 'place', place, 'until', til)
if failed == '1' then redis.call('HINCRBY', group, 'attempts', 1) else redis.call('HSET', group, 'attempts', 0) end
redis.call('PEXPIRE', group, life)
if #event > 0 then
  redis.call('XADD', dead, 'MAXLEN', kept, '*', unpack(event))
  redis.call('PEXPIRE', dead, life)
end
-- The stream's own consumer group stands at the same place, for whoever looks with XINFO GROUPS. What counts is
-- above: a stream goes, with its groups, after a silence that a group survives.
if redis.call('EXISTS', stream) == 1 and redis.pcall('XGROUP', 'SETID', stream, name, place).err then
  redis.call('XGROUP', 'CREATE', stream, name, place)
end
return 1
