-- KEYS: marker, ...limits
-- ARGV: ending, ...rows
-- Brings what PostgreSQL counted until the end of a term, by the greater value; repeated, it changes nothing. rows: of
-- each limit: kind, max, per, a, b, age, as take.lua has them; of a sliding log how many there are, as if just made; of
-- leases first a row without id, for those that are not in PostgreSQL are over, then of each its id, its cost and the ms
-- that are left of it. Answers 0 where the next term is open, or a later one is known: too late.
local number, phase = string.match(redis.call('GET', marker) or '', '^(%d+):(%a+)')
local beyond = (tonumber(number) or 0) - tonumber(ending)
if beyond > 1 or beyond == 1 and phase == 'open' then return 0 end
local clock = redis.call('TIME')
local now = clock[1] * 1000 + math.floor(clock[2] / 1000)

local function settled(kind, a, b, age, max, per)
  if kind == 'token-bucket' then return math.max(0, a - age * max), 0, 0 end
  if kind == 'sliding' and age >= per and age < 2 * per then return b, 0, age - per end
  if age >= per then return 0, 0, per end
  return a, b, age
end

local function counter(limit, kind, max, per, a, b, age)
  local known = redis.call('GET', limit)
  a, b, age = settled(kind, a, b, age, max, per)
  if known then
    local x, y, at = cmsgpack.unpack(known)
    x, y, at = settled(kind, x, y, math.max(0, now - at), max, per)
    a, b, age = math.max(a, x), math.max(b, y), math.min(age, at)
  end
  local life = kind == 'token-bucket' and math.ceil(a / max) or (kind == 'sliding' and 2 * per or per) - age
  if a + b == 0 then return end
  redis.call('SET', limit, cmsgpack.pack(a, b, now - age, max, per), 'PX', life)
end

local function add(limit, id, count, ends)
  for i = 1, count do redis.call('ZADD', limit, ends, id .. ':' .. i) end
  local last = redis.call('ZRANGE', limit, -1, -1, 'WITHSCORES')[2]
  if last then redis.call('PEXPIREAT', limit, tonumber(last)) end
end

for i, limit in ipairs(limits) do
  local at = 6 * i - 5
  local kind, max, per = rows[at], tonumber(rows[at + 1]), tonumber(rows[at + 2])
  local a, b, age = rows[at + 3], tonumber(rows[at + 4]), tonumber(rows[at + 5])
  if kind == 'concurrency' and a == '' then
    redis.call('DEL', limit)
  elseif kind == 'concurrency' then
    add(limit, a, b, now + age)
  elseif kind == 'sliding-log' then
    redis.call('ZREMRANGEBYSCORE', limit, '-inf', now)
    add(limit, 'carried:' .. ending .. ':' .. now, tonumber(a) - redis.call('ZCARD', limit), now + per)
  else
    counter(limit, kind, max, per, tonumber(a), b, age)
  end
end
return 1
