-- KEYS: marker, ...limits
-- ARGV: sign, id, ...pers
-- Keeps a lease for longer: by all of its limits, or by none. pers: ms from now on, one a limit. Answers what it weighs,
-- one a limit; 0: it is over by any of them, or was never there. 'TERM': another term reigns here.
if redis.call('GET', marker) ~= sign then return 'TERM' end
local clock = redis.call('TIME')
local now = clock[1] * 1000 + math.floor(clock[2] / 1000)
local costs = {}

local function lives(limit, n)
  local ends = redis.call('ZSCORE', limit, id .. ':' .. n)
  return ends and tonumber(ends) > now
end

for i, limit in ipairs(limits) do
  local n = 0
  while lives(limit, n + 1) do n = n + 1 end
  if n == 0 then return 0 end
  costs[i] = n
end
for i, limit in ipairs(limits) do
  for n = 1, costs[i] do redis.call('ZADD', limit, 'GT', now + pers[i], id .. ':' .. n) end
  local last = redis.call('ZRANGE', limit, -1, -1, 'WITHSCORES')[2]
  redis.call('PEXPIRE', limit, tonumber(last) - now)
end
return costs
