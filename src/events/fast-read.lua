-- KEYS: stream, log
-- ARGV: after, before, order, limit, bytes, ttl
-- A stretch of a fast flow. Answers {head, term, from, floor, lost, origin, born in, born, entries}: from is the first
-- number of the term, lost the last one of those that went before their time, born the first that is known of the flow,
-- and it follows on the origin, if that is what PostgreSQL let it begin with. Nothing for a flow that has no log here.
-- Ends after the entry with which the payloads exceed the bytes, and before it if it is not the first.
local state = redis.call('HMGET', log, 'head', 'term', 'from', 'terms', 'lost', 'renewed', 'origin')
if not state[1] or not state[4] then return {} end
local function text(n) return string.format('%.0f', n) end
local function seqOf(id) return tonumber(string.match(id, '-(%d+)$')) end
after, before, limit, bytes = tonumber(after), tonumber(before), tonumber(limit), tonumber(bytes)

-- The id at which a seq stands: its term is the last one that began at or before it. Or lower, where Redis has brought back
-- half a script: a term of which it has events, but not its beginning. (An append-only file that was cut off within a script
-- gives that at the second start.)
local function idOf(seq)
  local owner = '0'
  for number, first in string.gmatch(state[4], '(%d+):(%d+)') do
    if tonumber(first) <= seq or owner == '0' then owner = number end
  end
  return owner .. '-' .. text(seq)
end

local head = tonumber(state[1])
local oldest = redis.call('XRANGE', stream, '-', '+', 'COUNT', 1)[1]
local floor = oldest and seqOf(oldest[1]) - 1 or head
local lost = tonumber(state[5]) or 0
local clock = oldest and { 0, 0 } or redis.call('TIME')
if not oldest and clock[1] * 1000 + clock[2] / 1000 < (state[6] or 0) + ttl then lost = head end
local term, born = string.match(state[4], '^(%d+):(%d+)')
-- Where the log begins with a term, what lies before is a hole and not what retention took.
local answer = { state[1], state[2], state[3], '', text(lost), state[7] or '', term, born, {} }
if floor > lost and string.find(' ' .. (state[3] or '') .. ' ' .. state[4], '[ :]' .. text(floor + 1) .. ' ') then floor = 0 end
-- The bound below which all smaller seqs stand.
local function boundOf(seq)
  local from = idOf(seq)
  while true do
    local page = redis.call('XRANGE', stream, from, '+', 'COUNT', 8)
    for _, entry in ipairs(page) do
      if seqOf(entry[1]) >= seq then return '(' .. entry[1] end
    end
    if #page < 8 then return '+' end
    from = '(' .. page[8][1]
  end
end

local low = '(' .. idOf(after)
local high = before > head and '+' or boundOf(before)
local found, size = answer[9], 0
answer[4] = text(floor)
while after < head and #found < limit do
  local count = math.min(32, limit - #found)
  local page
  if order == 'asc' then
    page = redis.call('XRANGE', stream, low, high, 'COUNT', count)
    if #page > 0 then low = '(' .. page[#page][1] end
  else
    page = redis.call('XREVRANGE', stream, high, low, 'COUNT', count)
    if #page > 0 then high = '(' .. page[#page][1] end
  end
  for _, entry in ipairs(page) do
    if seqOf(entry[1]) > after then
      size = size + #entry[2][4]
      if size > bytes and #found > 0 then return answer end
      found[#found + 1] = entry
    end
  end
  if #page < count then break end
end
return answer
