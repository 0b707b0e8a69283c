-- KEYS: marker, ...limits
-- ARGV: sign, ...words
-- Takes from limits of one bucket, a take after the other, each from all of its limits or from none. words: of each
-- take how many limits and its id, then of each limit: kind, max, per, cost. Answers of each take whether it was
-- allowed, then of each limit: whether it had room, and its state {a, b, age} as counters.ts has it; of entries {how
-- many, ms until the last ends, ms until there is room}. 'TERM': another term reigns here.
if redis.call('GET', marker) ~= sign then return 'TERM' end
local clock = redis.call('TIME')
local now = clock[1] * 1000 + math.floor(clock[2] / 1000)
local function text(n) return string.format('%.0f', n) end

-- A clock that went back makes a counter younger, which is the safe side.
local function counter(limit, kind, max, per)
  local known = redis.call('GET', limit)
  if not known then return 0, 0, 0 end
  local a, b, at = string.match(known, '^(%d+) (%d+) (%d+)')
  local age = math.max(0, now - at)
  a, b = tonumber(a), tonumber(b)
  if kind == 'token-bucket' then return math.max(0, a - age * max), 0, 0 end
  if kind == 'sliding' and age >= per and age < 2 * per then return b, 0, age - per end
  if age >= per then return 0, 0, 0 end
  return a, b, age
end

local function unit(kind, per) return kind == 'token-bucket' and per or 1 end
local function hasRoom(kind, a, b, age, max, per, cost)
  if kind == 'sliding' then return (b + cost) * per + a * (per - age) <= max * per end
  return a + cost * unit(kind, per) <= max * unit(kind, per)
end

local function write(limit, kind, a, b, age, max, per)
  local life = kind == 'token-bucket' and math.ceil(a / max) or (kind == 'sliding' and 2 * per or per) - age
  if life <= 0 then return redis.call('DEL', limit) end
  redis.call('SET', limit, string.format('%.0f %.0f %.0f %.0f %.0f', a, b, now - age, max, per), 'PX', text(life))
end

local function untilEnd(limit, place)
  local found = redis.call('ZRANGE', limit, place, place, 'WITHSCORES')
  return found[2] and tonumber(found[2]) - now or 0
end

local function add(limit, id, per, cost)
  for i = 1, cost do redis.call('ZADD', limit, text(now + per), id .. ':' .. i) end
  if cost > 0 then redis.call('PEXPIRE', limit, text(untilEnd(limit, -1))) end
  return untilEnd(limit, -1)
end

local kept, answer, word, key = { ['sliding-log'] = true, concurrency = true }, {}, 1, 0
while words[word] do
  local size, id, allowed, states = tonumber(words[word]), words[word + 1], true, {}
  for i = 1, size do
    local limit, at = limits[key + i], word + 4 * i - 2
    local kind, max, per, cost = words[at], tonumber(words[at + 1]), tonumber(words[at + 2]), tonumber(words[at + 3])
    local a, b, age, room
    if kept[kind] then
      redis.call('ZREMRANGEBYSCORE', limit, '-inf', text(now))
      a = redis.call('ZCARD', limit)
      room, b = a + cost <= max, untilEnd(limit, -1)
      age = room and 0 or untilEnd(limit, a + cost - max - 1)
    else
      a, b, age = counter(limit, kind, max, per)
      room = hasRoom(kind, a, b, age, max, per, cost)
    end
    allowed = allowed and room
    states[i] = { kind, max, per, cost, room, a, b, age }
  end
  answer[#answer + 1] = allowed and 1 or 0
  for i = 1, size do
    local limit, kind, max, per, cost, room, a, b, age = limits[key + i], unpack(states[i])
    if allowed and kept[kind] then
      a, b = a + cost, add(limit, id, per, cost)
    elseif allowed and cost ~= 0 then
      if kind == 'sliding' then b = math.max(0, b + cost) else a = math.max(0, a + cost * unit(kind, per)) end
      write(limit, kind, a, b, age, max, per)
    end
    for _, n in ipairs({ room and 1 or 0, a, b, age }) do answer[#answer + 1] = n end
  end
  word, key = word + 2 + 4 * size, key + size
end
return answer
