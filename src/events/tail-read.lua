-- KEYS: stream, log
-- ARGV: term, after, before, order, limit, bytes
-- A stretch of a durable flow, if the hot tail has it: {head, entries}, without a hole from its first event on; nothing
-- if it does not have that one. term is that of the place `after`; of the beginning, 0, every term's.
-- Ends after the entry with which the payloads exceed the bytes, and before it if it is not the first.
local state = redis.call('HMGET', log, 'head', 'term')
local head = tonumber(state[1])
after, before, limit, bytes = tonumber(after), tonumber(before), tonumber(limit), tonumber(bytes)
if not head or after > 0 and state[2] ~= term then return {} end
local function idOf(seq) return '(' .. state[2] .. '-' .. string.format('%.0f', seq) end
local asc = order == 'asc'
local step, wanted = asc and 1 or -1, asc and after + 1 or before - 1
local low, high = idOf(after), before > head and '+' or idOf(before)
local found, size = {}, 0
if not asc and wanted > head then return {} end
while #found < limit and wanted > after and wanted < before do
  local count = math.min(32, limit - #found)
  local page = asc and redis.call('XRANGE', stream, low, high, 'COUNT', count)
    or redis.call('XREVRANGE', stream, high, low, 'COUNT', count)
  for _, entry in ipairs(page) do
    if tonumber(string.match(entry[1], '-(%d+)$')) ~= wanted then return #found > 0 and { state[1], found } or {} end
    size = size + #entry[2][4]
    if size > bytes and #found > 0 then return { state[1], found } end
    found[#found + 1] = entry
    wanted = wanted + step
  end
  if #page < count then break end
  if asc then low = idOf(wanted - 1) else high = idOf(wanted + 1) end
end
return { state[1], found }
