-- Shared by several scripts: positions, the fields of an entry, the trim. Put in front of each of them.
--
-- An entry of the log has the fields m (message id), a (address), t (type), d (envelope), p (position of the entry
-- before it), c ("<bytes>:<n>": bytes and number of all entries ever appended, up to this one), and where it applies
-- q (goes to a mailbox), o (where it stood before it was lost) and e (the first entry of this epoch).

local function text(number)
  return string.format('%.0f', number)
end

local function parts(position)
  local ms, seq = string.match(position, '^(%d+)-(%d+)$')
  return tonumber(ms), tonumber(seq)
end

local function fields(entry)
  local map = {}
  for i = 1, #entry[2], 2 do
    map[entry[2][i]] = entry[2][i + 1]
  end
  return map
end

-- Bytes of everything appended before this entry. Entries of other programs have no such field.
local function bytes_before(map)
  local bytes = string.match(map.c, '^(%d+):')
  return tonumber(bytes) - #map.m - #map.a - #map.t - #map.d
end

local function now_ms()
  local time = redis.call('TIME')
  return tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)
end

-- At most this many entries are looked at in one call, so that a trim does not hold up other commands.
local STEP = 1000

-- Removes what is over the bytes. `bytes` is that of everything ever appended. Says whether more is left to do.
local function trim_bytes(log, bytes, max_bytes)
  -- Everything ever appended fits: no need to read the kept entries.
  if bytes <= max_bytes then return 0 end
  local first
  for _, entry in ipairs(redis.call('XRANGE', log, '-', '+', 'COUNT', 16)) do
    local map = fields(entry)
    if map.c then first = map; break end
  end
  if not first or bytes - bytes_before(first) <= max_bytes then return 0 end
  -- A thousandth more than necessary: a full log is then trimmed now and then, not with every append.
  local enough = bytes - max_bytes + math.floor(max_bytes / 1000)
  local last
  for _, entry in ipairs(redis.call('XRANGE', log, '-', '+', 'COUNT', STEP)) do
    local known = fields(entry)
    last = entry[1]
    if known.c and tonumber(string.match(known.c, '^(%d+):')) >= enough then
      local ms, seq = parts(last)
      redis.call('XTRIM', log, 'MINID', text(ms) .. '-' .. text(seq + 1))
      return 0
    end
  end
  local ms, seq = parts(last)
  redis.call('XTRIM', log, 'MINID', text(ms) .. '-' .. text(seq + 1))
  return 1
end

-- Removes what is over the count.
local function trim_events(log, max_events)
  if redis.call('XLEN', log) > max_events then
    redis.call('XTRIM', log, 'MAXLEN', max_events - math.floor(max_events / 1000))
  end
end
