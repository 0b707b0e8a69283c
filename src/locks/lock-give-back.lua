-- KEYS: marker
-- ARGV: sign, reign, say, ...returns
-- Ends leases, or leases and places in line, and tells who is next. returns: lock, queue, fence, claim of each: by fence
-- ends the lease, by claim whatever the claim has; the other one is empty. Answers one element a return: 1 if there was
-- a lease and nobody waits, 0 if there was none, {whether there was one, who is next}. {"TERM"}: another term reigns.
if redis.call('GET', marker) ~= sign then return { 'TERM' } end
local now

local function give_back(lock, queue, fence, claim)
  local held = redis.call('GET', lock)
  local number, known, owner
  if held then number, known, owner = string.match(held, '^(%S+) (%S+) (%S+)') end
  local live = number == reign
  local mine = live and (known == fence or owner == claim)
  if mine then redis.call('DEL', lock) end
  local waiting = 'lock:waiting' .. string.sub(queue, 11)
  if claim ~= '' then
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
  redis.call(say, 'lock:freed' .. string.sub(queue, 11), head)
  return { mine and 1 or 0, head }
end

local answer = {}
for i = 1, #returns, 4 do
  answer[#answer + 1] = give_back(returns[i], returns[i + 1], returns[i + 2], returns[i + 3])
end
return answer
