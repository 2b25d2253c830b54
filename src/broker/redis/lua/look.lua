-- The numbers of the log at one moment. Not MULTI, which a server that is out of memory refuses, whatever is in it.
--
-- KEYS: log, meta. ARGV: fields of meta that are read, how many of the oldest entries where the first is no event, a
--       position.
-- Returns {the fields, the oldest entries, the entry at the position or the last one before it}. Few entries: each costs a
-- script several times as much as a command.
local log = KEYS[1]
local names = {}
for name in string.gmatch(ARGV[1], '%S+') do names[#names + 1] = name end
local oldest = redis.call('XRANGE', log, '-', '+', 'COUNT', 1)
if oldest[1] and not fields(oldest[1]).c then
  oldest = redis.call('XRANGE', log, '-', '+', 'COUNT', ARGV[2])
end
return {
  redis.call('HMGET', KEYS[2], unpack(names)),
  oldest,
  redis.call('XREVRANGE', log, ARGV[3], '-', 'COUNT', 1),
}
