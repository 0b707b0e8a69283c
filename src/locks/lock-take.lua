-- KEYS: marker, lock, fences, queue, waiting
-- ARGV: sign, reign, floor, last, claim, holder, ttl, kept, grant, patience, most
-- Takes a lock that is free, or a place in line. Answers {"HELD", fence}; {"BUSY", holder, since, left, whether it is first};
-- {"FULL"}: no more may wait; {"SPENT"}: the reign has no fence left here; {"TERM"}: another term reigns here.
-- A lease of another reign does not count unless it was carried over; neither does a place in line.
if redis.call('GET', marker) ~= sign then return { 'TERM' } end
floor, kept, patience = tonumber(floor), tonumber(kept), tonumber(patience)
local clock = redis.call('TIME')
local now = tonumber(clock[1]) * 1000 + math.floor(tonumber(clock[2]) / 1000)
local function text(n) return string.format('%.0f', n) end

local held = redis.call('HMGET', lock, 'reign', 'claim', 'fence', 'holder', 'since')
local live = held[1] == reign
if live and held[2] == claim then
  -- The answer to the first ask was lost.
  if redis.call('PTTL', lock) < kept then redis.call('PEXPIRE', lock, kept) end
  return { 'HELD', held[3] }
end

-- Who waits and is alive, of those who came first. The dead are taken out on the way.
local first
while not first do
  local head = redis.call('ZRANGE', queue, 0, 0, 'WITHSCORES')
  if #head == 0 then break end
  local ends = redis.call('ZSCORE', waiting, head[1])
  if ends and tonumber(ends) > now and tonumber(head[2]) > floor then
    first = head[1]
  else
    redis.call('ZREM', queue, head[1])
    redis.call('ZREM', waiting, head[1])
  end
end

if not live and grant == '1' and (not first or first == claim) then
  local fence = math.max(tonumber(redis.call('GET', fences) or '0'), floor) + 1
  if fence >= tonumber(last) then return { 'SPENT' } end
  fence = text(fence)
  redis.call('SET', fences, fence)
  redis.call('HSET', lock, 'reign', reign, 'claim', claim, 'fence', fence, 'holder', holder, 'since', text(now), 'ttl', ttl, 'kept', kept)
  redis.call('PEXPIRE', lock, kept)
  if first then
    redis.call('ZREM', queue, claim)
    redis.call('ZREM', waiting, claim)
  end
  return { 'HELD', fence }
end

if patience > 0 then
  if not redis.call('ZSCORE', queue, claim) then
    if redis.call('ZCARD', queue) >= tonumber(most) then
      for _, dead in ipairs(redis.call('ZRANGEBYSCORE', waiting, '-inf', now)) do redis.call('ZREM', queue, dead) end
      redis.call('ZREMRANGEBYSCORE', waiting, '-inf', now)
      if redis.call('ZCARD', queue) >= tonumber(most) then return { 'FULL' } end
    end
    local tail = redis.call('ZRANGE', queue, -1, -1, 'WITHSCORES')
    redis.call('ZADD', queue, text(math.max(floor, tonumber(tail[2] or '0')) + 1), claim)
    first = first or claim
  end
  redis.call('ZADD', waiting, now + patience, claim)
  -- Whoever is alive asks again before its patience ends.
  redis.call('PEXPIRE', queue, 2 * patience)
  redis.call('PEXPIRE', waiting, 2 * patience)
end
local is_first = first == claim and 1 or 0
if not live then return { 'BUSY', '', '', 0, is_first } end
return { 'BUSY', held[4], held[5], redis.call('PTTL', lock), is_first }
