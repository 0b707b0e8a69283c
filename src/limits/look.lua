-- KEYS: ...limits
-- ARGV:
-- How limits of one bucket stand: {now, one element a limit}: a counter's a, b, when it began, max and
-- per; how many entries live and when the last of them ends; false where there is nothing.
local clock = redis.call('TIME')
local now = clock[1] * 1000 + math.floor(clock[2] / 1000)
local answer = { now }
for i, limit in ipairs(limits) do
  local kind = redis.call('TYPE', limit).ok
  if kind == 'string' then
    answer[i + 1] = { cmsgpack.unpack(redis.call('GET', limit)) }
  elseif kind == 'zset' then
    answer[i + 1] = { redis.call('ZCOUNT', limit, '(' .. now, '+inf'), redis.call('ZRANGE', limit, -1, -1, 'WITHSCORES')[2] }
  else
    answer[i + 1] = false
  end
end
return answer
