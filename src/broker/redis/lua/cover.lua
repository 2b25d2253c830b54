-- A node that appends lost entries again announces how far back it can: everything after that position of the old
-- history comes again. The farthest of all nodes counts.
--
-- KEYS: meta. ARGV: the old epoch, the position.
local function parts(position)
  local ms, seq = string.match(position, '^(%d+)-(%d+)$')
  return tonumber(ms), tonumber(seq)
end
local field = 'cov:' .. ARGV[1]
local known = redis.call('HGET', KEYS[1], field)
if known then
  local ms, seq = parts(known)
  local new_ms, new_seq = parts(ARGV[2])
  if new_ms > ms or (new_ms == ms and new_seq >= seq) then return known end
end
redis.call('HSET', KEYS[1], field, ARGV[2])
return ARGV[2]
