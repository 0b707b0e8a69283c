-- KEYS: marker
-- ARGV: sign, reign, renewals
-- Keeps leases for longer. renewals: in JSON, lock, fence, ttl and kept of each; ttl "-": for as long as it was asked for.
-- Answers one element a renewal: {claim, since, ttl, holder}, or {} if its fence holds nothing any more. {"TERM"}:
-- another term reigns here.
if redis.call('GET', marker) ~= sign then return { 'TERM' } end

local function renew(lock, fence, ttl, kept)
  local held = redis.call('GET', lock)
  if not held then return {} end
  local number, known, since, had_kept, claim, had, holder = string.match(held, '^([^ ]+) ([^ ]+) ([^ ]+) ([^ ]+) ([^ ]+) ([^ ]+) (.*)$')
  if number ~= reign or known ~= fence then return {} end
  if ttl == '-' then ttl, kept = had, had_kept end
  -- Never shorter: its holder may still count on an earlier renewal, if the answer to this one is lost.
  local left = math.max(redis.call('PTTL', lock), tonumber(kept))
  if ttl == had then
    redis.call('PEXPIRE', lock, left)
  else
    redis.call('SET', lock, table.concat({ number, known, since, kept, claim, ttl, holder }, ' '), 'PX', left)
  end
  return { claim, since, ttl, holder }
end

local answer, list = {}, cjson.decode(renewals)
for i = 1, #list, 4 do answer[(i + 3) / 4] = renew(list[i], list[i + 1], list[i + 2], list[i + 3]) end
return answer
