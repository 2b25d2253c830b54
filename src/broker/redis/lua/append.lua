-- Puts a batch of events into the log, each once, in order, and into the mailboxes of those that ask for it.
--
-- KEYS: log, meta, the message ids seen now, before, after (buckets of time), boxes; then for every event with a
--       mailbox its list and its state.
-- ARGV: epoch, term, max events, max bytes, seconds for which a bucket is kept, messages in a mailbox, seconds for which
--       an overflow is reported, the number of the present bucket, '1' if ids of the bucket before still count, the
--       time of the server in ms ('' = not known); then for every event: message id, address, type, envelope, '1' if
--       it has a mailbox, its earlier places ('' = none), the id of this publish, '1' if nobody can have published its
--       message id before.
-- Returns {'OK', the time of the server if it was not known, position, '1' if another publish put it there before or 'M'
-- if it is not in the mailbox, ...}, or {'TERM'} or {'EPOCH', current}: nothing was written. An error that is returned
-- means the same; one that is raised leaves that open, so nothing may raise one behind the first event.
--
-- Commands are counted: for a batch HMGET, two HSET, and TIME now and then; for the message ids of a batch that are
-- looked up one HMGET, about half of the time two; for an event XADD.
local log, meta, boxes = KEYS[1], KEYS[2], KEYS[6]
local known = redis.call('HMGET', meta, 'e', 'term', 'newest', 'n', 'bytes', 'le', 'b')
local epoch = known[1]
-- No append goes into a log whose server became master after the epoch began: the old history must be closed first, at
-- its newest entry, or the lost entries could not be known later.
if not epoch or known[2] ~= ARGV[2] then return { 'TERM' } end
if epoch ~= ARGV[1] then return { 'EPOCH', epoch } end

local newest = known[3] or '0-0'
local ms, seq = parts(newest)
local n, bytes = tonumber(known[4] or '0'), tonumber(known[5] or '0')
local last_epoch = known[6]
-- The bucket that was written last. A node whose clock is ahead may have written to the one after this one.
local bucket, last_bucket = tonumber(ARGV[8]), tonumber(known[7] or '-1')
local before = n
local now = tonumber(ARGV[10]) or now_ms()
local max_messages = tonumber(ARGV[6])

local function number()
  if now > ms then ms, seq = now, 0 else seq = seq + 1 end
  return text(ms) .. '-' .. text(seq)
end

local function add(id, entry)
  return redis.pcall('XADD', log, id, unpack(entry))
end

-- Where messages of this batch stand, each with the id of the publish that put it there.
local stands, ids = {}, {}
for i = 11, #ARGV, 8 do
  if ARGV[i + 7] ~= '1' then ids[#ids + 1] = ARGV[i] end
end
local function look(key)
  for i, at in ipairs(redis.call('HMGET', key, unpack(ids))) do
    if at then stands[ids[i]] = at end
  end
end
if #ids > 0 then
  look(KEYS[3])
  if ARGV[9] == '1' then look(KEYS[4]) end
  if last_bucket > bucket then look(KEYS[5]) end
end

-- Where the message ids of this batch say that their events stand. All are noted before the first event is there: a
-- refusal then leaves no event whose id is not known.
local noted = {}
local function note_all()
  local notes, start_ms, start_seq = {}, ms, seq
  for i = 11, #ARGV, 8 do
    local message_id = ARGV[i]
    if not stands[message_id] and not noted[message_id] then
      noted[message_id] = number()
      notes[#notes + 1] = message_id
      notes[#notes + 1] = noted[message_id] .. ' ' .. ARGV[i + 6]
    end
  end
  ms, seq = start_ms, start_seq
  return #notes > 0 and redis.pcall('HSET', KEYS[3], unpack(notes))
end

local function put(message_id, address, kind, envelope, mailbox, origin, mark)
  local id = number()
  bytes = bytes + #message_id + #address + #kind + #envelope
  n = n + 1
  local entry = { 'm', message_id, 'a', address, 't', kind, 'd', envelope, 'p', newest, 'c',
    text(bytes) .. ':' .. text(n) }
  if mailbox == '1' then entry[#entry + 1] = 'q'; entry[#entry + 1] = '1' end
  if origin ~= '' then entry[#entry + 1] = 'o'; entry[#entry + 1] = origin end
  if last_epoch ~= epoch then entry[#entry + 1] = 'e'; entry[#entry + 1] = epoch; last_epoch = epoch end
  local added = add(id, entry)
  if type(added) == 'table' and added.err and string.find(added.err, 'equal or smaller', 1, true) then
    -- Another program put an entry with a higher id into the stream.
    local info = redis.call('XINFO', 'STREAM', log)
    for i = 1, #info, 2 do
      if info[i] == 'last-generated-id' then ms, seq = parts(info[i + 1]) end
    end
    id = number()
    added = add(id, entry)
  end
  if type(added) == 'table' and added.err then
    for not_there in pairs(noted) do
      if not stands[not_there] then redis.call('HDEL', KEYS[3], not_there) end
    end
    return nil, added
  end
  stands[message_id] = id .. ' ' .. mark
  if noted[message_id] ~= id then redis.call('HSET', KEYS[3], message_id, stands[message_id]) end
  newest = id
  return id
end

local function deliver(list, state, address, message)
  local length = redis.call('RPUSH', list, message)
  local waiting, bytes = 1, #message
  while length > max_messages do
    local dropped = redis.call('LPOP', list)
    redis.call('HSET', state, 'upto', string.match(dropped, '^[^\n]+'))
    redis.call('HINCRBY', state, 'over', 1)
    redis.call('EXPIRE', state, ARGV[7])
    length = length - 1
    waiting = waiting - 1
    bytes = bytes - #dropped
  end
  local oldest = redis.call('LINDEX', list, 0)
  if oldest then redis.call('ZADD', boxes, (parts(string.match(oldest, '^[^\n]+'))), address) end
  if waiting ~= 0 then redis.call('HINCRBY', meta, 'mail', waiting) end
  redis.call('HINCRBY', meta, 'mailbytes', bytes)
end

local answer = { 'OK', ARGV[10] == '' and text(now) or '' }
local key = 7
local refused = note_all()
if type(refused) == 'table' and refused.err then return refused end
local failed
for i = 11, #ARGV, 8 do
  local message_id, mailbox, mark = ARGV[i], ARGV[i + 4], ARGV[i + 6]
  local first, position, known = stands[message_id]
  local is_delivered = true
  if not first then
    position, failed =
      put(message_id, ARGV[i + 1], ARGV[i + 2], ARGV[i + 3], mailbox, ARGV[i + 5], mark)
    if failed then break end
  end
  if first then
    position, known = string.match(first, '^(%S+) (.*)$')
  elseif mailbox == '1' then
    local message = table.concat({ position, message_id, ARGV[i + 2], ARGV[i + 3] }, '\n')
    -- The list may be a key of another type. The event is in the log all the same.
    is_delivered = pcall(deliver, KEYS[key], KEYS[key + 1], ARGV[i + 1], message)
  end
  if mailbox == '1' then key = key + 2 end
  answer[#answer + 1] = position
  -- A second try may find the entry of the first one; that is not a repeated publish.
  answer[#answer + 1] = not is_delivered and 'M' or (first and known ~= mark) and '1' or '0'
end
-- Either the first event of a batch is refused or none: a server that is out of memory refuses before the
-- first write of a script.
if failed then return failed end
redis.call('HSET', meta, 'newest', newest, 'n', text(n), 'bytes', text(bytes), 'le', last_epoch or '', 'b', ARGV[8])
if bucket ~= last_bucket then redis.call('EXPIRE', KEYS[3], ARGV[5]) end
-- A trim removes a thousandth more than necessary, so the length is looked at once for as many events.
local max_events = tonumber(ARGV[3])
local step = math.max(1, math.floor(max_events / 1000))
-- A user that must not trim has put its events into the log nevertheless.
if math.floor(n / step) ~= math.floor(before / step) then pcall(trim_events, log, max_events) end
pcall(trim_bytes, log, bytes, tonumber(ARGV[4]))
return answer
