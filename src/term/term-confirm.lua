-- KEYS: marker
-- ARGV: number, attempt
-- Opens the term here, if it was this attempt that carried into it: the mark of another may have come late, to a Redis
-- that was emptied since. Answers whether it is open.
local now = redis.call('GET', marker)
local open = number .. ':open:' .. attempt
if now == open then return 1 end
if now ~= number .. ':carrying:' .. attempt then return 0 end
redis.call('SET', marker, open)
return 1
