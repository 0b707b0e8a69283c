-- KEYS: marker
-- ARGV: expected, highest, since, mark, nonce
-- Begins a term of a Redis that is the only store, if the marker is still what it was when that was decided ('' for
-- none). Answers the marker that is there then: this term's, or what somebody else has made of it meanwhile.
local now = redis.call('GET', marker) or ''
if now ~= expected then return now end
local clock = redis.call('TIME')
-- Beyond every number that anybody who asks has heard of; beyond those that nobody has, because they were seconds, too.
local number = math.max(tonumber(highest) + 1, tonumber(clock[1]) - tonumber(since))
local begun = clock[1] .. string.format('%06d', tonumber(clock[2]))
local text = string.format('%.0f', number) .. ':open:' .. mark .. '.' .. begun .. '.' .. nonce
redis.call('SET', marker, text)
return text
