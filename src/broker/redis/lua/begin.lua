-- Closes the history of an earlier term, and begins one under a new epoch. The first caller does it; the others get
-- its result.
--
-- KEYS: log, meta. ARGV: the new epoch, the term of this server, the epoch that the caller lived in ('' = none).
-- Returns {the present epoch, 1 if the log was there without its meta}.
local log, meta = KEYS[1], KEYS[2]
local known = redis.call('HMGET', meta, 'e', 'term', 'newest')
local epoch = known[1]
if epoch and known[2] == ARGV[2] then return { epoch, 0 } end
local rest = '0-0'
if not epoch then
  -- Where only meta is lost, the newest entry of the log says what it said.
  for _, entry in ipairs(redis.call('XREVRANGE', log, '+', '-', 'COUNT', 64)) do
    local total = fields(entry).c
    if total then
      local bytes, n = string.match(total, '^(%d+):(%d+)$')
      redis.call('HSET', meta, 'newest', entry[1], 'bytes', bytes, 'n', n)
      rest = entry[1]
      break
    end
  end
end
redis.call('HSET', meta, 'e', ARGV[1], 'term', ARGV[2])
redis.call('HINCRBY', meta, 'es', 1)
if epoch then
  -- Nothing was appended since this server became master, so its entries are the rest of the old history.
  redis.call('HSET', meta, 'end:' .. epoch, (known[3] or '0-0') .. ' ' .. ARGV[1])
else
  -- The log begins anew. A caller from a history that is not known here has lost what is not here.
  redis.call('HSET', meta, 'first', ARGV[1], 'rest', rest)
  if ARGV[3] ~= '' then redis.call('HSET', meta, 'end:' .. ARGV[3], rest .. ' ' .. ARGV[1]) end
end
return { ARGV[1], rest == '0-0' and 0 or 1 }
