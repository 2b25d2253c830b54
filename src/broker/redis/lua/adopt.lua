-- Records the end of a history that a node has followed and this log does not know: all of it was lost, and the log
-- began anew.
--
-- KEYS: meta. ARGV: the epoch that the node lived in.
-- Returns where that history ends here and which one follows: "<position> <epoch>", or nothing where no log began.
local meta = KEYS[1]
local first = redis.call('HGET', meta, 'first')
if not first then return false end
redis.call('HSETNX', meta, 'end:' .. ARGV[1], '0-0 ' .. first)
return redis.call('HGET', meta, 'end:' .. ARGV[1])
