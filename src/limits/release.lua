-- KEYS: marker, ...limits
-- ARGV: sign, ...ids
-- Ends leases, one a limit. Answers how many there were.
if redis.call('GET', marker) ~= sign then return 'TERM' end
local ended = 0
for i, limit in ipairs(limits) do
  local n = 0
  while redis.call('ZREM', limit, ids[i] .. ':' .. n + 1) == 1 do n = n + 1 end
  if n > 0 then ended = ended + 1 end
end
return ended
