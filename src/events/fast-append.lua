-- KEYS: stream, log, keys
-- ARGV: marker, sign, reign, base, leap, max, ttl, say, channel, token, again, ...events
-- Numbers, stores and announces events of one fast flow: all of them or none. events: type, source, payload, key of
-- each. Answers {at, one element an event}: its seq, or the entry that was there before. {"TERM"}: another term reigns
-- here. {"PASSED"}: the flow has seen a greater one.
-- The marker is no key of the flow: on a Cluster it lies on another server, and there is none given.
if sign ~= '' and redis.call('GET', marker) ~= sign then return { 'TERM' } end
reign, max = tonumber(reign), tonumber(max)
local function text(n) return string.format('%.0f', n) end
local clock = redis.call('TIME')
local now = tonumber(clock[1]) * 1000 + math.floor(tonumber(clock[2]) / 1000)
local at = text(now)
redis.call('XLEN', stream) redis.call('ZCARD', keys) -- Somebody else's key of another type stops it before anything is written.
local state = redis.call('HMGET', log, 'head', 'term', 'terms', 'carried', 'renewed')
local head, term, terms = tonumber(state[1]), tonumber(state[2]), state[3]
if term and term > reign then return { 'PASSED' } end
if not head then
  -- What a lost companion leaves behind has no known place any more.
  redis.call('DEL', stream, keys)
  head, terms = tonumber(base), ''
elseif term < reign then
  -- Only the base says how far the old term had come: exactly after a carry-over into this very reign, else a leap short.
  head = math.max(head, tonumber(base)) + (state[4] == text(reign - 1) and 0 or tonumber(leap))
end
if term ~= reign then
  terms = terms .. text(reign) .. ':' .. text(head + 1) .. ' '
  redis.call('HSET', log, 'term', text(reign), 'from', text(head + 1), 'terms', terms)
  redis.call('HDEL', log, 'carried')
end

local function entryAt(seq)
  local owner
  for number, first in string.gmatch(terms, '(%d+):(%d+)') do
    if tonumber(first) <= seq then owner = number end
  end
  local id = owner and owner .. '-' .. text(seq)
  return id and redis.call('XRANGE', stream, id, id)[1]
end
-- Keyless entries of this batch's first try, whose answer was lost, newest first.
local mine, below = {}, again == '1' and '+'
while below do
  local page = redis.call('XREVRANGE', stream, below, '-', 'COUNT', 200)
  below = #page == 200 and '(' .. page[200][1]
  for _, entry in ipairs(page) do
    if entry[2][12] == token and entry[2][10] == '' then mine[#mine + 1] = entry end
  end
end

local answer, said, count, prefix = { at }, {}, 0, text(reign) .. '-'
for i = 1, #events, 4 do
  local key = events[i + 3]
  local known = key ~= '' and redis.call('ZSCORE', keys, key)
  local found = known and entryAt(tonumber(known)) or key == '' and table.remove(mine)
  if found then
    answer[#answer + 1] = found
  else
    head = head + 1
    local kind, source, payload, seq = events[i], events[i + 1], events[i + 2], text(head)
    redis.call('XADD', stream, prefix .. seq, 'event_type', kind, 'payload', payload, 'timestamp', at, 'source', source, 'key', key, 'token', token)
    if key ~= '' then redis.call('ZADD', keys, seq, key) end
    said[3 * count + 1], said[3 * count + 2], said[3 * count + 3] = kind, source, payload
    answer[#answer + 1], count = head, count + 1
  end
end
if count == 0 then return answer end
-- Apart, and only where it is due: in the append-only file it says an exact length, which is another one where some of that
-- was lost.
if redis.call('XLEN', stream) > max + 100 then redis.call('XTRIM', stream, 'MAXLEN', '~', max) end
redis.call('HSET', log, 'head', text(head))
if now - (tonumber(state[5]) or 0) > tonumber(ttl) / 16 then
  -- A key lives about as long as its event; the companion outlives both, so that numbers go on.
  redis.call('ZREMRANGEBYSCORE', keys, '-inf', text(head - 2 * max))
  for name, life in pairs({ [stream] = ttl, [keys] = ttl, [log] = 2 * ttl }) do redis.call('PEXPIRE', name, life) end
  redis.call('HSET', log, 'renewed', at)
end
if say ~= '' then
  redis.call(say, channel, text(reign) .. ' ' .. text(head - count + 1) .. ' ' .. at .. ' ' .. count .. '\n' .. table.concat(said, '\n'))
end
return answer
