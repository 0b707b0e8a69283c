-- KEYS: marker, ...limits
-- ARGV: sign
-- Forgets what was counted. Answers how many of the limits there were.
if redis.call('GET', marker) ~= sign then return 'TERM' end
return redis.call('DEL', unpack(limits))
