-- Closes the history of an earlier term, and begins one under a new epoch. The first caller does it; the others get
-- its result.
--
-- KEYS: log, meta. ARGV: the new epoch, the term of this server, the epoch that the caller lived in ('' = none).
-- Returns the present epoch.
local log, meta = KEYS[1], KEYS[2]
local known = redis.call('HMGET', meta, 'e', 'term', 'newest')
local epoch = known[1]
if epoch and known[2] == ARGV[2] then return epoch end
redis.call('HSET', meta, 'e', ARGV[1], 'term', ARGV[2])
redis.call('HINCRBY', meta, 'es', 1)
if epoch then
  -- Nothing was appended since this server became master, so its entries are the rest of the old history.
  redis.call('HSET', meta, 'end:' .. epoch, (known[3] or '0-0') .. ' ' .. ARGV[1])
else
  -- The log begins anew. A caller from a history that is not known here has lost all of it.
  redis.call('HSET', meta, 'first', ARGV[1])
  if ARGV[3] ~= '' then redis.call('HSET', meta, 'end:' .. ARGV[3], '0-0 ' .. ARGV[1]) end
end
return ARGV[1]
