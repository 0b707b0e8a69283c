-- KEYS: stream, log, keys
-- ARGV: marker, sign, reign, base, known, begins, since, leap, max, ttl, say, channel, token, again, ...events
-- Numbers, stores and announces events of one fast flow, all or none. events: type, source, payload, key of each. Answers
-- {at, one element an event}: its seq, or the entry that was there before. {"TERM"}: another term reigns here (on a Cluster
-- the marker lies elsewhere and is not given). {"PASSED"}: the flow has seen a greater one. {"NEW"}: it is not as far in
-- this term as is "known", and the caller may not begin it.
if sign ~= '' and redis.call('GET', marker) ~= sign then return { 'TERM' } end
reign, max, base, known, ttl = tonumber(reign), tonumber(max), tonumber(base), tonumber(known), tonumber(ttl)
local function text(n) return string.format('%.0f', n) end
local clock = redis.call('TIME')
local now = clock[1] * 1000 + math.floor(clock[2] / 1000) local at = text(now)
-- Where nobody else remembers, numbers begin beyond the microseconds since then: all that were given lie before.
if since ~= '' then base = math.max(base, (clock[1] - since) * 1000000 + clock[2]) end
-- Somebody else's key of another type stops it here, before anything is written.
local fresh, keyed = redis.call('XLEN', stream) == 0, redis.call('ZCARD', keys) > 0
local state = redis.call('HMGET', log, 'head', 'term', 'terms', 'carried', 'renewed')
local head, term, terms, renewed = tonumber(state[1]), tonumber(state[2]), state[3], tonumber(state[5]) or 0
if term and term > reign then return { 'PASSED' } end
if (not head or not terms or term ~= reign or head < known) and begins == '' then return { 'NEW' } end
local lost = fresh and now < renewed + ttl and head -- A stream that went before its time.
if not head or not terms then
  -- What a lost companion leaves behind has no known place any more; nor has a hot tail where PostgreSQL is gone.
  redis.call('DEL', stream, keys)
  fresh, head, term, terms, lost = true, base, nil, '', (begins == 'again' or begins == 'new') and base
  redis.call('HSET', log, 'origin', begins == 'new' and text(base) or '')
elseif head < known then head = math.max(head, base) lost = head
elseif term < reign then
  -- Only the base says how far the old term had come: exactly after a carry-over into this very reign, or by the clock; else a leap short.
  head = math.max(head, base) + ((state[4] == text(reign - 1) or since ~= '' and head < base) and 0 or tonumber(leap))
end
if term ~= reign then
  -- Terms of which nothing is left need not be remembered: there is one for every restart of a store.
  local oldest = redis.call('XRANGE', stream, '-', '+', 'COUNT', 1)[1]
  local kept = oldest and string.match(' ' .. terms, ' (' .. string.match(oldest[1], '^%d+') .. ':.*)')
  terms = (kept or oldest and terms or '') .. text(reign) .. ':' .. text(head + 1) .. ' '
  redis.call('HSET', log, 'term', text(reign), 'from', text(head + 1), 'terms', terms)
  redis.call('HDEL', log, 'carried')
end
local function entryAt(seq)
  local id
  for number, first in string.gmatch(terms, '(%d+):(%d+)') do id = tonumber(first) <= seq and number .. '-' .. text(seq) or id end
  return id and redis.call('XRANGE', stream, id, id)[1]
end
-- Keyless entries of this batch's first try, whose answer was lost, newest first.
local mine, below = {}, again == '1' and '+'
while below do
  local page = redis.call('XREVRANGE', stream, below, '-', 'COUNT', 200)
  below = #page == 200 and '(' .. page[200][1]
  for _, entry in ipairs(page) do mine[#mine + 1] = entry[2][12] == token and entry[2][10] == '' and entry or nil end
end
local answer, said, count, prefix = { at }, {}, 0, text(reign) .. '-'
for i = 1, #events, 4 do
  local key = events[i + 3]
  local place = key ~= '' and redis.call('ZSCORE', keys, key)
  local found = place and entryAt(tonumber(place)) or key == '' and table.remove(mine)
  if found then
    answer[#answer + 1] = found
  else
    head = head + 1
    local kind, source, payload, seq = events[i], events[i + 1], events[i + 2], text(head)
    redis.call('XADD', stream, prefix .. seq, 'event_type', kind, 'payload', payload, 'timestamp', at, 'source', source, 'key', key, 'token', token)
    if key ~= '' then fresh = redis.call('ZADD', keys, seq, key) and not keyed or fresh end
    said[3 * count + 1], said[3 * count + 2], said[3 * count + 3] = kind, source, payload
    answer[#answer + 1], count = head, count + 1
  end
end
if count == 0 then return answer end
-- Apart, and where it is due: the append-only file has an exact length of it, which is another one where some was lost.
if redis.call('XLEN', stream) > max + 100 then
  redis.call('XTRIM', stream, 'MAXLEN', '~', max)
  redis.call('ZREMRANGEBYSCORE', keys, '-inf', text(head - 2 * max)) -- A key lives about as long as its event.
end
redis.call('HSET', log, 'head', text(head))
if lost then redis.call('HSET', log, 'lost', text(lost)) end
if fresh or now - renewed > ttl / 16 then
  for name, life in pairs({ [stream] = ttl, [keys] = ttl, [log] = 2 * ttl }) do redis.call('PEXPIRE', name, life) end
  redis.call('HSET', log, 'renewed', at)
end
redis.call(say, channel, text(reign) .. ' ' .. text(head - count + 1) .. ' ' .. at .. ' ' .. count .. '\n' .. table.concat(said, '\n'))
return answer
