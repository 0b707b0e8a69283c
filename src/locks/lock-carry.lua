-- KEYS: marker
-- ARGV: reign, ...leases
-- Brings leases to a Redis that reigns next. leases: lock, fence, the rest of its value, what is left, of each.
-- Refused with 0 where that reign is open already, or a later one is known: it would undo what was granted since.
local known, phase = string.match(redis.call('GET', marker) or '', '^(%d+):(%a+)')
known = tonumber(known or '0')
if known > tonumber(reign) or known == tonumber(reign) and phase == 'open' then return 0 end
for i = 1, #leases, 4 do
  local lock, fence, rest, left = leases[i], leases[i + 1], leases[i + 2], tonumber(leases[i + 3])
  local number, there = string.match(redis.call('GET', lock) or '', '^([^ ]+) ([^ ]+)')
  -- Another attempt at this carry-over has been here.
  local again = number == reign and tonumber(there)
  if not again or again <= tonumber(fence) then
    if again == tonumber(fence) then left = math.max(left, redis.call('PTTL', lock)) end
    redis.call('SET', lock, reign .. ' ' .. fence .. ' ' .. rest, 'PX', left)
  end
end
return 1
