-- Drops the messages of a mailbox that are too old, and counts them as overflow.
--
-- KEYS: meta, boxes, list, state. ARGV: owner, the oldest millisecond that stays, seconds for which it is reported.
local list, state = KEYS[3], KEYS[4]
local limit = tonumber(ARGV[2])
local dropped, freed = 0, 0
local oldest = redis.call('LINDEX', list, 0)
while oldest and tonumber((string.match(oldest, '^(%d+)-'))) < limit do
  redis.call('LPOP', list)
  redis.call('HSET', state, 'upto', string.match(oldest, '^[^\n]+'))
  dropped, freed = dropped + 1, freed + #oldest
  oldest = redis.call('LINDEX', list, 0)
end
if dropped > 0 then
  redis.call('HINCRBY', state, 'over', dropped)
  redis.call('EXPIRE', state, ARGV[3])
  redis.call('HINCRBY', KEYS[1], 'mail', -dropped)
  redis.call('HINCRBY', KEYS[1], 'mailbytes', -freed)
end
if oldest then
  redis.call('ZADD', KEYS[2], tonumber((string.match(oldest, '^(%d+)-'))), ARGV[1])
else
  redis.call('ZREM', KEYS[2], ARGV[1])
end
return dropped
