-- KEYS: stream, log
-- ARGV: term, first, max, ttl, say, channel, ...events
-- Announces committed events of one durable flow, and adds them to its hot tail, which begins when somebody hears of
-- them: a flow that nobody watches costs no more than the announcement. events: type, source, payload, at of each. A
-- tail with a hole is dropped rather than kept wrong; what it has already is left as it is.
local function text(n) return string.format('%.0f', n) end
local said = {}
for i = 1, #events, 4 do
  said[#said + 1] = events[i] .. '\n' .. events[i + 1] .. '\n' .. events[i + 2]
end
local heard = redis.call(say, channel,
  term .. ' ' .. text(first) .. ' ' .. events[4] .. ' ' .. #said .. '\n' .. table.concat(said, '\n'))
local state = redis.call('HMGET', log, 'head', 'term', 'renewed')
local head, at = tonumber(state[1]), tonumber(events[4])
if not head and heard == 0 then return 0 end
first, max = tonumber(first), tonumber(max)
if head and (state[2] ~= term or first > head + 1) then
  -- An older term's stragglers come late: the tail is of the new one.
  if tonumber(state[2]) <= tonumber(term) then
    redis.call('DEL', stream)
    head = nil
  end
end
local begun = not head
local seq = first - 1
for i = 1, #events, 4 do
  seq = seq + 1
  if not head or state[2] == term and seq == head + 1 then
    redis.call('XADD', stream, 'MAXLEN', '~', max, term .. '-' .. text(seq), 'event_type', events[i],
      'payload', events[i + 2], 'timestamp', events[i + 3], 'source', events[i + 1])
    head, state[2] = seq, term
  end
end
redis.call('HSET', log, 'head', text(head), 'term', state[2])
if begun or math.abs(at - (tonumber(state[3]) or 0)) > tonumber(ttl) / 16 then
  redis.call('PEXPIRE', stream, ttl)
  redis.call('PEXPIRE', log, ttl)
  redis.call('HSET', log, 'renewed', events[4])
end
return head == seq and 1 or 0
