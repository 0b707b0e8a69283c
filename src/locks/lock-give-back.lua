-- KEYS: marker, lock, queue, waiting
-- ARGV: sign, reign, fence, claim, say, channel
-- Ends the lease of this fence, or the lease and the place in line of this claim (the other one is empty), and tells
-- who is next. Answers {whether there was a lease, who is next}, or {"TERM"}.
if redis.call('GET', marker) ~= sign then return { 'TERM' } end
local held = redis.call('HMGET', lock, 'reign', 'fence', 'claim')
local live = held[1] == reign
local mine = live and (held[2] == fence or held[3] == claim)
if mine then redis.call('DEL', lock) end
if claim ~= '' then
  redis.call('ZREM', queue, claim)
  redis.call('ZREM', waiting, claim)
end
if live and not mine then return { 0 } end
local head = redis.call('ZRANGE', queue, 0, 0)[1]
if not head then return { mine and 1 or 0 } end
local clock = redis.call('TIME')
local now = tonumber(clock[1]) * 1000 + math.floor(tonumber(clock[2]) / 1000)
-- Who is first may have died: whoever asks next finds out.
if tonumber(redis.call('ZSCORE', waiting, head) or '0') <= now then head = '*' end
redis.call(say, channel, head)
return { mine and 1 or 0, head }
