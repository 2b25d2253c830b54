-- Trims by age, and by count and bytes where these were made smaller. A bounded step; says whether more is left.
--
-- KEYS: log, meta. ARGV: milliseconds that an entry stays, max events, max bytes.
local log, meta = KEYS[1], KEYS[2]
local known = redis.call('HMGET', meta, 'newest', 'bytes')
-- Probes that were not removed would hide the oldest entry behind them.
for _, entry in ipairs(redis.call('XRANGE', log, '-', '+', 'COUNT', 64)) do
  local map = fields(entry)
  if map.c then break end
  if map.probe and parts(entry[1]) < now_ms() - 10000 then redis.call('XDEL', log, entry[1]) end
end
-- The log's time: the clock's, but never before the newest position.
local newest = parts(known[1] or '0-0')
local limit = math.max(now_ms(), newest) - tonumber(ARGV[1])
local oldest = redis.call('XRANGE', log, '-', '+', 'COUNT', 1)[1]
local more = 0
if oldest and parts(oldest[1]) < limit then
  -- Ids only would do, but a range brings its entries along; hence a smaller step than elsewhere.
  local entries = redis.call('XRANGE', log, '-', '(' .. text(limit) .. '-0', 'COUNT', 200)
  local ms, seq = parts(entries[#entries][1])
  redis.call('XTRIM', log, 'MINID', text(ms) .. '-' .. text(seq + 1))
  if #entries == 200 then more = 1 end
end
trim_events(log, tonumber(ARGV[2]))
return math.max(more, trim_bytes(log, tonumber(known[2] or '0'), tonumber(ARGV[3])))
