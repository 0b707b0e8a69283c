-- KEYS: marker, ...limits
-- ARGV: sign, numbers, takes
-- Takes, one after the other, each from all of its limits or from none. numbers: algorithm, max, per of each limit; takes:
-- of each how many limits and its id, then of each limit its place and the cost; both as JSON. Answers of each take 1 or
-- 0, then of each of its limits, after whether that had room if the take was denied, what is counted: of a counter the
-- number that a take changes (counters.ts: b of sliding, else a), of entries how many, ms until the last ends, ms until
-- there is room. In the end of each limit the other number and the age. 'TERM': another term reigns here.
if redis.call('GET', marker) ~= sign then return 'TERM' end
local clock = redis.call('TIME')
local now = clock[1] * 1000 + math.floor(clock[2] / 1000)
local given, word = cjson.decode(numbers), cjson.decode(takes)
local kept = { ['sliding-log'] = true, concurrency = true }
-- By place. A request has room where (value + cost * step) * scale + base is no more than most.
local entry, value, other, age, step, scale, base, most, changed = {}, {}, {}, {}, {}, {}, {}, {}, {}

for p, limit in ipairs(limits) do
  local kind, max, per = given[3 * p - 2], given[3 * p - 1], given[3 * p]
  entry[p], value[p], other[p], age[p], step[p], scale[p], base[p], most[p] = kept[kind], 0, 0, 0, 1, 1, 0, max
  local known = not entry[p] and redis.call('GET', limit)
  if known then
    local a, b, since = cmsgpack.unpack(known)
    -- A clock that went back makes it younger, which is the safe side.
    local old = math.max(0, now - since)
    if kind == 'token-bucket' then a, old = math.max(0, a - old * max), 0
    elseif kind == 'sliding' and old >= per and old < 2 * per then a, b, old = b, 0, old - per
    elseif old >= per then a, b, old = 0, 0, 0 end
    value[p], other[p], age[p] = a, b, old
    if kind == 'sliding' then value[p], other[p] = b, a end
  end
  if kind == 'token-bucket' then step[p], most[p] = per, max * per
  elseif kind == 'sliding' then scale[p], base[p], most[p] = per, other[p] * (per - age[p]), max * per end
end

local function untilEnd(limit, place)
  local found = redis.call('ZRANGE', limit, place, place, 'WITHSCORES')
  return found[2] and tonumber(found[2]) - now or 0
end

local function hasRoom(p, cost) return (value[p] + cost * step[p]) * scale[p] + base[p] <= most[p] end

local answer, n, at = {}, 0, 1
while word[at] do
  local id, last, allowed = word[at + 1], at + 2 * word[at], true
  for w = at + 2, last, 2 do
    local p, cost = word[w], word[w + 1]
    if entry[p] then
      redis.call('ZREMRANGEBYSCORE', limits[p], '-inf', now)
      value[p] = redis.call('ZCARD', limits[p])
    end
    if (value[p] + cost * step[p]) * scale[p] + base[p] > most[p] then allowed = false end
  end
  answer[n + 1], n = allowed and 1 or 0, n + 1
  for w = at + 2, last, 2 do
    local p, cost = word[w], word[w + 1]
    if not allowed then answer[n + 1], n = hasRoom(p, cost) and 1 or 0, n + 1 end
    if not entry[p] then
      if allowed and cost ~= 0 then value[p], changed[p] = math.max(0, value[p] + cost * step[p]), true end
      answer[n + 1], n = value[p], n + 1
    else
      answer[n + 3] = hasRoom(p, cost) and 0 or untilEnd(limits[p], value[p] + cost - most[p] - 1)
      if allowed and cost > 0 then
        for c = 1, cost do redis.call('ZADD', limits[p], now + given[3 * p], id .. ':' .. c) end
        value[p] = value[p] + cost
        redis.call('PEXPIRE', limits[p], untilEnd(limits[p], -1))
      end
      answer[n + 1], answer[n + 2], n = value[p], untilEnd(limits[p], -1), n + 3
    end
  end
  at = last + 2
end
for p, limit in ipairs(limits) do
  local kind, max, per, a, b = given[3 * p - 2], given[3 * p - 1], given[3 * p], value[p], other[p]
  local life = kind == 'token-bucket' and math.ceil(a / max) or (kind == 'sliding' and 2 * per or per) - age[p]
  if kind == 'sliding' then a, b = b, a end
  if changed[p] and life <= 0 then redis.call('DEL', limit)
  elseif changed[p] then redis.call('SET', limit, cmsgpack.pack(a, b, now - age[p], max, per), 'PX', life) end
  answer[n + 1], answer[n + 2], n = other[p], age[p], n + 2
end
return answer
