-- Records the end of a history that a node has followed and this log does not know: what is not here was lost, and the
-- log began anew.
--
-- KEYS: meta. ARGV: the epoch that the node lived in.
-- Returns where that history ends here and which one follows: "<position> <epoch>", or nothing where no log began.
local meta = KEYS[1]
local known = redis.call('HMGET', meta, 'first', 'rest')
if not known[1] then return false end
redis.call('HSETNX', meta, 'end:' .. ARGV[1], (known[2] or '0-0') .. ' ' .. known[1])
return redis.call('HGET', meta, 'end:' .. ARGV[1])
