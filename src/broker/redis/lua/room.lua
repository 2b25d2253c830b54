-- Put in front of scripts that must work on a server that is out of memory: they are small, and free memory or keep the
-- cluster together. Such a server refuses the first command of a script that needs memory, unless the script has written
-- before. This writes nothing, and counts.
--
-- KEYS: any, of which the last one is a hash.
redis.call('HDEL', KEYS[#KEYS], '')

