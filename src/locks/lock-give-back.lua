-- KEYS: marker
-- ARGV: sign, reign, say, ...returns
-- Ends leases, or leases and places in line, and tells who is next. Each return is "lock end fence claim": by fence it
-- ends the lease, by claim whatever the claim has; the other one is "-". end: of the keys beside the lock's; "-": the
-- same as of its own, behind "lock:". Answers one element a return: 1 if there was
-- a lease and nobody waits, 0 if there was none, {whether there was one, who is next}. {"TERM"}: another term reigns.
if redis.call('GET', marker) ~= sign then return { 'TERM' } end
local now
local lined = redis.call('EXISTS', 'lock:lines:' .. string.match(marker, '{b%d%d}')) == 1

local function give_back(one)
  local lock, tail, fence, claim = string.match(one, '^(%S+) (%S+) (%S+) (%S+)$')
  local held = redis.call('GET', lock)
  local number, known, owner
  if held then number, known, owner = string.match(held, '^(%S+) (%S+) (%S+)') end
  local live = number == reign
  local mine = live and (known == fence or owner == claim)
  if mine then redis.call('DEL', lock) end
  if not lined then return mine and 1 or 0 end
  if tail == '-' then tail = string.sub(lock, 6) end
  local queue, waiting = 'lock:queue:' .. tail, 'lock:waiting:' .. tail
  if claim ~= '-' then
    redis.call('ZREM', queue, claim)
    redis.call('ZREM', waiting, claim)
  end
  if live and not mine then return 0 end
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
for i, one in ipairs(returns) do answer[i] = give_back(one) end
return answer
