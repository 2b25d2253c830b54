-- Takes everything up to a position out of a mailbox; an overflow up to there counts as reported.
--
-- KEYS: meta, boxes, list, state. ARGV: owner, milliseconds and counter of the position.
-- Returns how many messages that were.
local list, state = KEYS[3], KEYS[4]
local up_ms, up_seq = tonumber(ARGV[2]), tonumber(ARGV[3])
local function reached(position)
  local ms, seq = string.match(position, '^(%d+)-(%d+)')
  ms, seq = tonumber(ms), tonumber(seq)
  return ms < up_ms or (ms == up_ms and seq <= up_seq)
end
local confirmed, freed = 0, 0
local oldest = redis.call('LINDEX', list, 0)
while oldest and reached(oldest) do
  redis.call('LPOP', list)
  confirmed, freed = confirmed + 1, freed + #oldest
  oldest = redis.call('LINDEX', list, 0)
end
if confirmed > 0 then
  redis.call('HINCRBY', KEYS[1], 'mail', -confirmed)
  redis.call('HINCRBY', KEYS[1], 'mailbytes', -freed)
  if oldest then
    redis.call('ZADD', KEYS[2], tonumber((string.match(oldest, '^(%d+)-'))), ARGV[1])
  else
    redis.call('ZREM', KEYS[2], ARGV[1])
  end
end
local dropped = redis.call('HGET', state, 'upto')
if dropped and reached(dropped) then redis.call('DEL', state) end
return confirmed
