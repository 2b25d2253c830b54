-- Calls every command that the other scripts and the node call, on keys of its own, and leaves nothing behind.
--
-- KEYS: a stream, a hash, a list, a sorted set.
-- Returns the commands that this user must not call, or that this server does not have. Where it must not use the keys, the
-- server refuses the script.
local stream, hash, list, set = KEYS[1], KEYS[2], KEYS[3], KEYS[4]
local calls = {
  'TIME',
  'XADD ' .. stream .. ' NOMKSTREAM * a b', 'XRANGE ' .. stream .. ' - +', 'XREVRANGE ' .. stream .. ' + -',
  'XREAD COUNT 1 STREAMS ' .. stream .. ' 0', 'XLEN ' .. stream, 'XTRIM ' .. stream .. ' MAXLEN 1',
  'XDEL ' .. stream .. ' 1-1', 'XINFO STREAM ' .. stream,
  'HSET ' .. hash .. ' a 1', 'HSETNX ' .. hash .. ' a 1', 'HINCRBY ' .. hash .. ' a 1', 'HGET ' .. hash .. ' a',
  'HMGET ' .. hash .. ' a', 'HDEL ' .. hash .. ' b', 'EXPIRE ' .. hash .. ' 60', 'EXISTS ' .. hash,
  'RPUSH ' .. list .. ' a', 'LINDEX ' .. list .. ' 0', 'LRANGE ' .. list .. ' 0 0', 'LPOP ' .. list,
  'ZADD ' .. set .. ' 1 a', 'ZCARD ' .. set, 'ZRANGE ' .. set .. ' 0 0', 'ZRANGEBYSCORE ' .. set .. ' 0 0',
  'ZREM ' .. set .. ' a', 'DEL ' .. hash .. ' ' .. list .. ' ' .. set,
}
local missing = {}
for _, call in ipairs(calls) do
  local words = {}
  for word in string.gmatch(call, '%S+') do words[#words + 1] = word end
  local answer = redis.pcall(unpack(words))
  local err = type(answer) == 'table' and answer.err or ''
  if string.find(err, "can't run", 1, true) or string.find(err, 'NOPERM', 1, true) or string.find(err, 'nknown', 1, true)
  then
    missing[#missing + 1] = string.lower(words[1])
  end
end
return missing
