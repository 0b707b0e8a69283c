-- KEYS: marker, ...locks
-- ARGV: reign, ...leases
-- Brings leases to a Redis that reigns next: for each lock its fence, claim, holder, since, ttl, kept and what is left.
-- Refused with 0 where that reign is open already, or a later one is known: it would undo what was granted since.
local known, phase = string.match(redis.call('GET', marker) or '', '^(%d+):(%a+)')
known = tonumber(known or '0')
if known > tonumber(reign) or known == tonumber(reign) and phase == 'open' then return 0 end
for i, lock in ipairs(locks) do
  local at = (i - 1) * 7
  local fence, left = leases[at + 1], leases[at + 7]
  local there = redis.call('HMGET', lock, 'reign', 'fence')
  -- Another attempt at this carry-over has been here.
  local again = there[1] == reign and tonumber(there[2])
  if not again or again <= tonumber(fence) then
    if again == tonumber(fence) then left = math.max(tonumber(left), redis.call('PTTL', lock)) end
    redis.call('HSET', lock, 'reign', reign, 'fence', fence, 'claim', leases[at + 2], 'holder', leases[at + 3],
      'since', leases[at + 4], 'ttl', leases[at + 5], 'kept', leases[at + 6])
    redis.call('PEXPIRE', lock, left)
  end
end
return 1
