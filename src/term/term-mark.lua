-- KEYS: marker
-- ARGV: number, attempt
-- Marks that the carry-over into this term is done. Refused where the term is open already, or a later one is known:
-- a carry-over that comes late and again would end the term that is open, or erase what was granted in it.
local now = redis.call('GET', marker)
if now then
  local known, phase = string.match(now, '^(%d+):(%a+)')
  known = tonumber(known)
  if not known or known > tonumber(number) or known == tonumber(number) and phase == 'open' then return 0 end
end
redis.call('SET', marker, number .. ':carrying:' .. attempt)
return 1
