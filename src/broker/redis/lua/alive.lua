-- The nodes that sent a beat lately. Removes the others.
--
-- KEYS: nodes, records. ARGV: milliseconds of silence after which a node is gone.
-- Returns {incarnation, record, milliseconds of silence, ...}.
local time = redis.call('TIME')
local now = tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)
local gone = redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', '(' .. string.format('%.0f', now - tonumber(ARGV[1])))
for _, incarnation in ipairs(gone) do
  redis.call('ZREM', KEYS[1], incarnation)
  redis.call('HDEL', KEYS[2], incarnation)
end
local answer = {}
local alive = redis.call('ZRANGE', KEYS[1], 0, -1, 'WITHSCORES')
for i = 1, #alive, 2 do
  local record = redis.call('HGET', KEYS[2], alive[i])
  if record then
    answer[#answer + 1] = alive[i]
    answer[#answer + 1] = record
    answer[#answer + 1] = string.format('%.0f', math.max(0, now - tonumber(alive[i + 1])))
  end
end
return answer
