-- A piece of a mailbox at one moment. Not MULTI, which a server that is out of memory refuses, whatever is in it.
--
-- KEYS: meta, list, state. ARGV: index of the first message of the piece, and of the last.
-- Returns {{epoch, newest}, the oldest message of all, the piece, how many messages were dropped}.
local oldest = redis.call('LINDEX', KEYS[2], 0)
return {
  redis.call('HMGET', KEYS[1], 'e', 'newest'),
  oldest,
  redis.call('LRANGE', KEYS[2], ARGV[1], ARGV[2]),
  redis.call('HGET', KEYS[3], 'over'),
}
