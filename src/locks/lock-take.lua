-- KEYS: marker
-- ARGV: sign, reign, floor, last, most, grant, count, asks
-- Takes locks that are free, or places in line. asks: in JSON, lock, end (see lock-give-back.lua), patience, kept and the
-- end of its value of each. Answers one element an ask: the fence of its lease; {holder, since, left, whether it is
-- first}: busy; "FULL": no more may wait; "SPENT": the reign has no fence left. {"TERM"}: another term reigns here.
-- A lock is "reign fence since kept claim ttl holder". One of another reign does not count unless it was carried over;
-- neither does a place in its line. All keys lie in the marker's slot, or there is one server.
if redis.call('GET', marker) ~= sign then return { 'TERM' } end
floor, last, count = tonumber(floor), tonumber(last), tonumber(count)
local clock = redis.call('TIME')
local now = clock[1] * 1000 + math.floor(clock[2] / 1000)
local format = string.format
local function text(n) return format('%d', n) end
-- Whether anybody waits for any of the locks beside this marker: if not, no queue has to be looked for.
local bucket, since = string.match(marker, '{b%d%d}'), text(now)
local lines, fences, fence = 'lock:lines:' .. bucket, 'lock:fences:' .. bucket, nil
local head, middle = reign .. ' ', ' ' .. since .. ' '
local lined = redis.call('EXISTS', lines) == 1

-- Sets the lock, how: 'NX' or 'XX'. Fences are counted once for all asks: what is left of them is never given.
local function give(lock, kept, rest, how)
  if not fence then
    fence = redis.call('INCRBY', fences, count) - count
    if fence < floor then fence = floor redis.call('SET', fences, text(floor + count)) end
  end
  if fence + 1 >= last then return 'SPENT' end
  local value = head .. format('%d', fence + 1) .. middle .. rest
  if not redis.call('SET', lock, value, 'PX', kept, how) then return nil end
  fence = fence + 1
  return fence
end

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

local function take(lock, tail, patience, kept, rest)
  local claim = string.match(rest, '^[^ ]+ ([^ ]+)')
  local held = redis.call('GET', lock)
  local number, known, owner = string.match(held or '', '^([^ ]+) ([^ ]+) [^ ]+ [^ ]+ ([^ ]+)')
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
    if first then redis.call('ZREM', queue, claim) redis.call('ZREM', waiting, claim) end
    return give(lock, kept, rest, held and 'XX' or 'NX')
  end
  if patience > 0 then
    if not stand(queue, waiting, claim) then return 'FULL' end
    redis.call('ZADD', waiting, text(now + patience), claim)
    redis.call('SET', lines, 1)
    lined, first = true, first or claim
    -- Whoever is alive asks again before its patience ends.
    for _, name in ipairs({ queue, waiting, lines }) do redis.call('PEXPIRE', name, 2 * patience) end
  end
  local is_first = first == claim and 1 or 0
  if not live then return { '', '', 0, is_first } end
  local from, who = string.match(held, '^[^ ]+ [^ ]+ ([^ ]+) [^ ]+ [^ ]+ [^ ]+ (.*)$')
  return { who, from, redis.call('PTTL', lock), is_first }
end

local answer, list = {}, cjson.decode(asks)
for i = 1, #list, 5 do
  local lock, tail, patience, kept, rest = list[i], list[i + 1], list[i + 2], list[i + 3], list[i + 4]
  -- Most locks are free and nobody waits.
  local given = not lined and grant == '1' and give(lock, kept, rest, 'NX')
  answer[(i + 4) / 5] = given or take(lock, tail, patience, kept, rest)
end
return answer
