-- Drops the oldest messages of these mailboxes while all mailboxes together hold too many, and counts them as overflow.
--
-- KEYS: meta, boxes, then the list and the state of each mailbox. ARGV: most messages, most bytes, seconds for which an
--       overflow is reported, then the owner of each mailbox.
-- Returns 1 if there are still too many.
local meta, boxes = KEYS[1], KEYS[2]
local known = redis.call('HMGET', meta, 'mail', 'mailbytes')
local mail, bytes = tonumber(known[1] or '0'), tonumber(known[2] or '0')
local max_mail, max_bytes = tonumber(ARGV[1]), tonumber(ARGV[2])
if mail <= max_mail and bytes <= max_bytes then return 0 end
if #KEYS == 2 then
  -- Nobody has mail: the counters outlived lists that somebody removed.
  if redis.call('ZCARD', boxes) == 0 then redis.call('HDEL', meta, 'mail', 'mailbytes') end
  return 0
end
-- Far enough below the bounds that this is not done for every message.
max_mail, max_bytes = max_mail - math.floor(max_mail / 100), max_bytes - math.floor(max_bytes / 100)
local owner = 4
for i = 3, #KEYS, 2 do
  local list, state = KEYS[i], KEYS[i + 1]
  local dropped, freed, last = 0, 0, nil
  while mail - dropped > max_mail or bytes - freed > max_bytes do
    local message = redis.call('LPOP', list)
    if not message then break end
    dropped, freed, last = dropped + 1, freed + #message, message
  end
  if dropped > 0 then
    redis.call('HSET', state, 'upto', string.match(last, '^[^\n]+'))
    redis.call('HINCRBY', state, 'over', dropped)
    redis.call('EXPIRE', state, ARGV[3])
    mail, bytes = mail - dropped, bytes - freed
  end
  local oldest = redis.call('LINDEX', list, 0)
  if oldest then
    redis.call('ZADD', boxes, tonumber((string.match(oldest, '^(%d+)-'))), ARGV[owner])
  else
    redis.call('ZREM', boxes, ARGV[owner])
  end
  owner = owner + 1
end
redis.call('HSET', meta, 'mail', mail, 'mailbytes', bytes)
return (mail > max_mail or bytes > max_bytes) and 1 or 0
