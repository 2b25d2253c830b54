-- The log at one moment. Not MULTI, which a server that is out of memory refuses, whatever is in it.
--
-- KEYS: log, meta. ARGV: fields of meta that are read, how many of the oldest entries, a position, how many entries after
--       it ('0' = none).
-- Returns {the fields, the oldest entries, the entry at the position or the last one before it, the entries after it}.
local log = KEYS[1]
local fields = {}
for field in string.gmatch(ARGV[1], '%S+') do fields[#fields + 1] = field end
local after = {}
if ARGV[4] ~= '0' then after = redis.call('XRANGE', log, '(' .. ARGV[3], '+', 'COUNT', ARGV[4]) end
return {
  redis.call('HMGET', KEYS[2], unpack(fields)),
  redis.call('XRANGE', log, '-', '+', 'COUNT', ARGV[2]),
  redis.call('XREVRANGE', log, ARGV[3], '-', 'COUNT', 1),
  after,
}
