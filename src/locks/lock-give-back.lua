-- KEYS: marker
-- ARGV: sign, reign, say, returns
-- Ends leases, or leases and places in line, and tells who is next. returns: in JSON, lock, end, fence and claim of each:
-- by fence it ends the lease, by claim whatever the claim has; the other one is "-". end: of the keys beside the lock's;
-- "-": the same as of its own, behind "lock:". Answers one element a return: 1 if there was a lease and nobody waits,
-- 0 if there was none, {whether there was one, who is next}. {"TERM"}: another term reigns.
if redis.call('GET', marker) ~= sign then return { 'TERM' } end
local now
local list = cjson.decode(returns)
local lined = redis.call('EXISTS', 'lock:lines:' .. string.match(marker, '{b%d%d}')) == 1
-- All are read in one call and ended in one.
local locks, values, ended = {}, {}, {}
for i = 1, #list, 4 do locks[#locks + 1] = list[i] end
for i, value in ipairs(redis.call('MGET', unpack(locks))) do values[locks[i]] = value end

-- Answers whether the lock was the one's, and whether it is somebody else's.
local function end_lease(lock, fence, claim)
  local value = values[lock] or ''
  if fence == '-' or string.find(value, reign .. ' ' .. fence .. ' ', 1, true) ~= 1 then
    local number, owner = string.match(value, '^([^ ]+) [^ ]+ [^ ]+ [^ ]+ ([^ ]+)')
    if number ~= reign then return false, false end
    if owner ~= claim then return false, true end
  end
  values[lock] = false
  ended[#ended + 1] = lock
  return true, false
end

local function give_back(lock, tail, fence, claim)
  local mine, others = end_lease(lock, fence, claim)
  if not lined then return mine and 1 or 0 end
  if tail == '-' then tail = string.sub(lock, 6) end
  local queue, waiting = 'lock:queue:' .. tail, 'lock:waiting:' .. tail
  if claim ~= '-' then
    redis.call('ZREM', queue, claim)
    redis.call('ZREM', waiting, claim)
  end
  if others then return 0 end
  local head = redis.call('ZRANGE', queue, 0, 0)[1]
  if not head then return mine and 1 or 0 end
  if not now then
    local clock = redis.call('TIME')
    now = tonumber(clock[1]) * 1000 + math.floor(tonumber(clock[2]) / 1000)
  end
  -- Who is first may have died: whoever asks next finds out.
  if tonumber(redis.call('ZSCORE', waiting, head) or '0') <= now then head = '*' end
  redis.call(say, 'lock:freed:' .. tail, head)
  return { mine and 1 or 0, head }
end

local answer = {}
for i = 1, #list, 4 do
  answer[(i + 3) / 4] = give_back(list[i], list[i + 1], list[i + 2], list[i + 3])
end
if #ended > 0 then redis.call('DEL', unpack(ended)) end
return answer
