-- KEYS: stream, log, keys
-- ARGV: ending, term, from, first, follows, origin, max, ttl, ...events
-- Takes over what PostgreSQL numbered in a term, behind what is left of those before; the ending one is the last before
-- Redis reigns again. events: type, source, payload, key, at of each, numbered from first. What is there already is left
-- as it is. Answers how far it has come; nothing, and does nothing, if it "follows" on what this Redis has no more.
local function text(n) return string.format('%.0f', n) end
local function seqOf(id) return tonumber(string.match(id, '-(%d+)$')) end
-- Somebody else's key under one of these names would keep all flows from coming back: what PostgreSQL has counts more.
for name, kind in pairs({ [stream] = 'stream', [log] = 'hash', [keys] = 'zset' }) do
  local found = redis.call('TYPE', name).ok
  if found ~= kind and found ~= 'none' then redis.call('DEL', name) end
end
local state = redis.call('HMGET', log, 'head', 'term', 'terms')
local head, terms = tonumber(state[1]), state[3] or ''
if follows == '1' and (head or 0) < tonumber(first) - 1 then return false end
if tonumber(state[2] or '0') > tonumber(term) then return head end
if state[2] ~= term and #events > 0 then
  -- Numbers from here on were given anew by PostgreSQL: who has seen the old ones is told that they are lost.
  local old = redis.call('XREVRANGE', stream, '+', '-', 'COUNT', 100)
  while #old > 0 and seqOf(old[1][1]) >= tonumber(from) do
    for _, entry in ipairs(old) do
      if seqOf(entry[1]) >= tonumber(from) then redis.call('XDEL', stream, entry[1]) end
    end
    old = redis.call('XREVRANGE', stream, '+', '-', 'COUNT', 100)
  end
  terms = terms .. term .. ':' .. from .. ' '
  head = tonumber(from) - 1
end
local seq = tonumber(first) - 1
for i = 1, #events, 5 do
  seq = seq + 1
  if seq > head then
    redis.call('XADD', stream, term .. '-' .. text(seq), 'event_type', events[i], 'payload', events[i + 2], 'timestamp', events[i + 4], 'source', events[i + 1], 'key', events[i + 3], 'token', '')
    if events[i + 3] ~= '' then redis.call('ZADD', keys, text(seq), events[i + 3]) end
    head = seq
  end
end
-- As fast-append.lua does it.
if redis.call('XLEN', stream) > max + 100 then redis.call('XTRIM', stream, 'MAXLEN', '~', max) end
local now = redis.call('TIME')[1] .. '000'
redis.call('HSET', log, 'head', text(head), 'term', term, 'from', from, 'terms', terms, 'carried', ending, 'renewed', now)
-- Of a flow that came to be on PostgreSQL: behind those that were forgotten.
if origin ~= '0' then redis.call('HSET', log, 'origin', origin, 'lost', origin) end
for name, life in pairs({ [stream] = ttl, [keys] = ttl, [log] = 2 * ttl }) do redis.call('PEXPIRE', name, life) end
return head
