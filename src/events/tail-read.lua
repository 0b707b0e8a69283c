-- KEYS: stream, log
-- ARGV: term, after, limit, bytes
-- What the hot tail has of a durable flow after a place: {head, entries}, or nothing if it does not reach back to it.
local state = redis.call('HMGET', log, 'head', 'term')
local head = tonumber(state[1])
after, limit, bytes = tonumber(after), tonumber(limit), tonumber(bytes)
if not head or state[2] ~= term or after > head then return {} end
local found, size, low = {}, 0, '(' .. term .. '-' .. string.format('%.0f', after)
while #found < limit do
  local count = math.min(32, limit - #found)
  local page = redis.call('XRANGE', stream, low, '+', 'COUNT', count)
  for _, entry in ipairs(page) do
    if #found == 0 and tonumber(string.match(entry[1], '-(%d+)$')) ~= after + 1 then return {} end
    size = size + #entry[2][4]
    if size > bytes and #found > 0 then return { state[1], found } end
    found[#found + 1] = entry
    low = '(' .. entry[1]
  end
  if #page < count then break end
end
if #found == 0 and after < head then return {} end
return { state[1], found }
