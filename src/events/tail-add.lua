-- KEYS: stream, log
-- ARGV: term, first, max, ttl, say, channel, ...events
-- Adds committed events of one durable flow to its hot tail, and announces them. events: type, source, payload, at
-- of each. A tail with a hole is dropped rather than kept wrong; what it has already is left as it is.
local function text(n) return string.format('%.0f', n) end
local state = redis.call('HMGET', log, 'head', 'term', 'renewed')
local head, at = tonumber(state[1]), tonumber(events[4])
first, max = tonumber(first), tonumber(max)
if head and (state[2] ~= term or first > head + 1) then
  -- An older term's stragglers come late: the tail is of the new one.
  if tonumber(state[2]) <= tonumber(term) then
    redis.call('DEL', stream)
    head = nil
  end
end
-- Also where the stream alone is gone: it must not stay for ever.
local begun = not head or redis.call('EXISTS', stream) == 0
local said, seq = {}, first - 1
for i = 1, #events, 4 do
  seq = seq + 1
  if not head or state[2] == term and seq == head + 1 then
    redis.call('XADD', stream, 'MAXLEN', '~', max, term .. '-' .. text(seq), 'event_type', events[i],
      'payload', events[i + 2], 'timestamp', events[i + 3], 'source', events[i + 1])
    head, state[2] = seq, term
  end
  said[#said + 1] = events[i] .. '\n' .. events[i + 1] .. '\n' .. events[i + 2]
end
redis.call('HSET', log, 'head', text(head), 'term', state[2])
if begun or math.abs(at - (tonumber(state[3]) or 0)) > tonumber(ttl) / 16 then
  redis.call('PEXPIRE', stream, ttl)
  redis.call('PEXPIRE', log, ttl)
  redis.call('HSET', log, 'renewed', events[4])
end
redis.call(say, channel, term .. ' ' .. text(first) .. ' ' .. events[4] .. ' ' .. #said .. '\n' .. table.concat(said, '\n'))
return head == seq and 1 or 0
