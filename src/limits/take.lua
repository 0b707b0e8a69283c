-- KEYS: marker, ...limits
-- ARGV: sign, kinds, takes
-- Takes, one after the other, each from all of its limits or from none. kinds: the algorithm of each limit; takes: of
-- each how many limits and its id, then of each limit: place, max, per, cost; both as JSON. Answers of each take 1 or 0,
-- then of each limit {a, b, age} as counters.ts has it, or of entries {how many, ms until the last ends, ms until there
-- is room}, and where it was denied, before that, whether it had room. 'TERM': another term reigns here.
if redis.call('GET', marker) ~= sign then return 'TERM' end
local clock = redis.call('TIME')
local now = clock[1] * 1000 + math.floor(clock[2] / 1000)
local kept = { ['sliding-log'] = true, concurrency = true }
local kind, word = cjson.decode(kinds), cjson.decode(takes)
local a, b, since, numbers = {}, {}, {}, {}

-- Brings a counter up to now; answers its age. A clock that went back makes it younger, which is the safe side.
local function settle(p, max, per)
  if not a[p] then
    local known = redis.call('GET', limits[p])
    if known then a[p], b[p], since[p] = cmsgpack.unpack(known) else a[p], b[p], since[p] = 0, 0, now end
  end
  local age = math.max(0, now - since[p])
  if kind[p] == 'token-bucket' then
    a[p], age = math.max(0, a[p] - age * max), 0
  elseif kind[p] == 'sliding' and age >= per and age < 2 * per then
    a[p], b[p], age = b[p], 0, age - per
  elseif age >= per then
    a[p], b[p], age = 0, 0, 0
  end
  since[p] = now - age
  return age
end

local function untilEnd(p, place)
  local found = redis.call('ZRANGE', limits[p], place, place, 'WITHSCORES')
  return found[2] and tonumber(found[2]) - now or 0
end

local answer, n, at, ages, rooms = {}, 0, 1, {}, {}
while word[at] do
  local size, id, allowed = word[at], word[at + 1], true
  for i = 1, size do
    local w = at + 4 * i - 2
    local p, max, per, cost = word[w], word[w + 1], word[w + 2], word[w + 3]
    if kept[kind[p]] then
      redis.call('ZREMRANGEBYSCORE', limits[p], '-inf', now)
      a[p], b[p] = redis.call('ZCARD', limits[p]), untilEnd(p, -1)
      rooms[i] = a[p] + cost <= max
      ages[i] = rooms[i] and 0 or untilEnd(p, a[p] + cost - max - 1)
    else
      ages[i] = settle(p, max, per)
      local unit = kind[p] == 'token-bucket' and per or 1
      if kind[p] == 'sliding' then rooms[i] = (b[p] + cost) * per + a[p] * (per - ages[i]) <= max * per
      else rooms[i] = a[p] + cost * unit <= max * unit end
    end
    allowed = allowed and rooms[i]
  end
  answer[n + 1], n = allowed and 1 or 0, n + 1
  for i = 1, size do
    local w = at + 4 * i - 2
    local p, max, per, cost = word[w], word[w + 1], word[w + 2], word[w + 3]
    if allowed and cost ~= 0 and kept[kind[p]] then
      for c = 1, cost do redis.call('ZADD', limits[p], now + per, id .. ':' .. c) end
      a[p], b[p] = a[p] + cost, untilEnd(p, -1)
      redis.call('PEXPIRE', limits[p], b[p])
    elseif allowed and cost ~= 0 then
      if kind[p] == 'sliding' then b[p] = math.max(0, b[p] + cost)
      else a[p] = math.max(0, a[p] + cost * (kind[p] == 'token-bucket' and per or 1)) end
      numbers[p] = w
    end
    if not allowed then n = n + 1 answer[n] = rooms[i] and 1 or 0 end
    answer[n + 1], answer[n + 2], answer[n + 3], n = a[p], b[p], ages[i], n + 3
  end
  at = at + 2 + 4 * size
end
for p, w in pairs(numbers) do
  local max, per = word[w + 1], word[w + 2]
  local life = kind[p] == 'token-bucket' and math.ceil(a[p] / max) or since[p] - now + (kind[p] == 'sliding' and 2 * per or per)
  if life <= 0 then redis.call('DEL', limits[p])
  else redis.call('SET', limits[p], cmsgpack.pack(a[p], b[p], since[p], max, per), 'PX', life) end
end
return answer
