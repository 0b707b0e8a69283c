-- KEYS: marker, lock
-- ARGV: sign, reign, fence, ttl, kept
-- Keeps a lease for longer; ttl is empty for as long as it was asked for. Answers {claim, holder, since, ttl}, or
-- {} if the fence holds nothing any more, or {"TERM"}.
if redis.call('GET', marker) ~= sign then return { 'TERM' } end
local held = redis.call('HMGET', lock, 'reign', 'fence', 'claim', 'holder', 'since', 'ttl', 'kept')
if held[1] ~= reign or held[2] ~= fence then return {} end
if ttl == '' then
  ttl, kept = held[6], held[7]
elseif ttl ~= held[6] then
  redis.call('HSET', lock, 'ttl', ttl, 'kept', kept)
end
-- Never shorter: its holder may still count on an earlier renewal, if the answer to this one is lost.
if redis.call('PTTL', lock) < tonumber(kept) then redis.call('PEXPIRE', lock, kept) end
return { held[3], held[4], held[5], ttl }
