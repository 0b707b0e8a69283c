-- KEYS: marker
-- ARGV: sign, reign, floor, last, most, grant, ...asks
-- Takes locks that are free, or places in line. Each ask is "lock end claim ttl kept patience holder" (end: see
-- lock-give-back.lua). Answers one element an ask: the fence of its lease; {holder, since, left, whether it is first}:
-- busy; "FULL": no more may wait; "SPENT": the reign has no fence left. {"TERM"}: another term reigns here.
-- A lock is "reign fence claim since ttl kept holder". One of another reign does not count unless it was carried over;
-- neither does a place in its line. All keys lie in the marker's slot, or there is one server.
if redis.call('GET', marker) ~= sign then return { 'TERM' } end
floor, last = tonumber(floor), tonumber(last)
local clock = redis.call('TIME')
local now = clock[1] * 1000 + math.floor(clock[2] / 1000)
local function text(n) return string.format('%.0f', n) end
-- Whether anybody waits for any of the locks beside this marker: if not, no queue has to be looked for.
local lines = 'lock:lines:' .. string.match(marker, '{b%d%d}')
local lined = redis.call('EXISTS', lines) == 1

-- Who waits and is alive, of those who came first. The dead are taken out on the way.
local function first_in(queue, waiting)
  while lined do
    local head = redis.call('ZRANGE', queue, 0, 0, 'WITHSCORES')
    if #head == 0 then return nil end
    local ends = redis.call('ZSCORE', waiting, head[1])
    if ends and tonumber(ends) > now and tonumber(head[2]) > floor then return head[1] end
    for _, line in ipairs({ queue, waiting }) do redis.call('ZREM', line, head[1]) end
  end
end

-- A place in line for the claim, where there is none yet; false: no more may wait.
local function stand(queue, waiting, claim)
  if redis.call('ZSCORE', queue, claim) then return true end
  if redis.call('ZCARD', queue) >= tonumber(most) then
    for _, dead in ipairs(redis.call('ZRANGEBYSCORE', waiting, '-inf', now)) do redis.call('ZREM', queue, dead) end
    redis.call('ZREMRANGEBYSCORE', waiting, '-inf', now)
    if redis.call('ZCARD', queue) >= tonumber(most) then return false end
  end
  local tail = redis.call('ZRANGE', queue, -1, -1, 'WITHSCORES')
  redis.call('ZADD', queue, text(math.max(floor, tonumber(tail[2] or '0')) + 1), claim)
  return true
end

local function take(ask)
  local lock, tail, claim, ttl, kept, patience, holder = string.match(ask, '^(%S+) (%S+) (%S+) (%S+) (%S+) (%S+) (.*)$')
  local held = redis.call('GET', lock)
  local number, known, owner
  if held then number, known, owner = string.match(held, '^(%S+) (%S+) (%S+)') end
  local live = number == reign
  if live and owner == claim then
    -- The answer to the first ask was lost.
    if redis.call('PTTL', lock) < tonumber(kept) then redis.call('PEXPIRE', lock, kept) end
    return tonumber(known)
  end
  if tail == '-' then tail = string.sub(lock, 6) end
  local queue, waiting = 'lock:queue:' .. tail, 'lock:waiting:' .. tail
  local first = first_in(queue, waiting)
  if not live and grant == '1' and (not first or first == claim) then
    local fences = 'lock:fences:' .. string.sub(tail, 1, 5)
    local fence = redis.call('INCR', fences)
    if fence <= floor then fence = floor + 1 redis.call('SET', fences, text(fence)) end
    if fence >= last then return 'SPENT' end
    redis.call('SET', lock, table.concat({ reign, text(fence), claim, text(now), ttl, kept, holder }, ' '), 'PX', kept)
    if first then redis.call('ZREM', queue, claim) redis.call('ZREM', waiting, claim) end
    return fence
  end
  if patience ~= '0' then
    if not stand(queue, waiting, claim) then return 'FULL' end
    redis.call('ZADD', waiting, text(now + tonumber(patience)), claim)
    redis.call('SET', lines, 1)
    lined, first = true, first or claim
    -- Whoever is alive asks again before its patience ends.
    for _, name in ipairs({ queue, waiting, lines }) do redis.call('PEXPIRE', name, 2 * tonumber(patience)) end
  end
  local is_first = first == claim and 1 or 0
  if not live then return { '', '', 0, is_first } end
  local since, who = string.match(held, '^%S+ %S+ %S+ (%S+) %S+ %S+ (.*)$')
  return { who, since, redis.call('PTTL', lock), is_first }
end

local answer = {}
for i, ask in ipairs(asks) do answer[i] = take(ask) end
return answer
