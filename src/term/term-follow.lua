-- KEYS: marker
-- ARGV: text, number
-- Takes a bucket into the term that the first bucket is in. Answers 1 if it is in that term now, 0 where a later one is
-- known: whoever comes late takes nothing back.
local now = redis.call('GET', marker)
if now == text then return 1 end
local known = now and tonumber(string.match(now, '^(%d+):'))
if known and known > tonumber(number) then return 0 end
redis.call('SET', marker, text)
return 1
