#!lua flags=allow-oom
-- receive: lease ready jobs to a session, most urgent first, until `want` jobs or about `room` bytes.
-- KEYS[1] jobs   ARGV prefix now session number want room
-- Answer: {'ok', ms until the next job is due or -1, (id level envelope counts|nil)*} | {'dead'} | {'stale'} | {'paused'}
-- (session, number) is the fence: a number is used once, so an answer that was given up cannot be given again.
-- includes: now alive promote wake levels pump voids unvoid limiting
local prefix, session, number = ARGV[1], ARGV[3], tonumber(ARGV[4])
local want, room = tonumber(ARGV[5]), tonumber(ARGV[6])
local held, MOST_LOOKED_AT = prefix .. 'held:' .. session, 4096
if not alive(prefix, session) then
  return { 'dead' }
end
if number <= tonumber(redis.call('HGET', held, '#') or 0) then
  return { 'stale' }
end
redis.call('HDEL', prefix .. 'meta', '') -- before 7.0 a full server runs a script whose first write is of this kind

local answer, got, looked = { 'ok', -1 }, 0, 0
local opening, due, came_back, void, opened, timed = prefix .. 'opening', prefix .. 'limits:due', false, false, false, false
if redis.call('EXISTS', prefix .. 'counts', opening, prefix .. 'void:live', prefix .. 'paused', due) > 0 then
  if redis.call('EXISTS', prefix .. 'paused') == 1 then
    return { 'paused' }
  end
  came_back = redis.call('EXISTS', prefix .. 'counts') == 1
  void = redis.call('EXISTS', prefix .. 'void:live') == 1
  opened = redis.call('EXISTS', opening) == 1 and pump(opening, want)
  timed = redis.call('EXISTS', due) == 1
  if timed then
    limiting(prefix, true).due(100)
  end
end
promote(prefix, 100)

local urgent = redis.call('EXISTS', unpack(levels, 1, 9)) > 0
for level = urgent and 0 or 9, 9 do
  local list = levels[level + 1]
  local tag = level .. ':' .. ARGV[4]
  while got < want and room > 0 and looked < MOST_LOOKED_AT do
    local ids = redis.call('LRANGE', list, 0, math.min(16, want - got) - 1)
    if #ids == 0 then
      break
    end
    local envelopes = redis.call('HMGET', prefix .. 'jobs', unpack(ids))
    local counts = came_back and redis.call('HMGET', prefix .. 'counts', unpack(ids))
    local places, looked_at, dropped = { '#', ARGV[4] }, 0, nil
    local skipped = void and voids(prefix, ids, 'void:live')
    for i, id in ipairs(ids) do
      local envelope = envelopes[i]
      if not envelope or skipped and skipped[i] then -- an entry without a job is garbage, void or not
        dropped = dropped or {}
        dropped[#dropped + 1] = id
      else
        places[#places + 1] = id
        places[#places + 1] = tag
        local at = #answer
        answer[at + 1], answer[at + 2], answer[at + 3] = id, level, envelope
        answer[at + 4] = counts and counts[i]
        got = got + 1
        room = room - #envelope
      end
      looked_at = i
      if room <= 0 then
        break
      end
    end
    if #places > 2 then
      redis.call('HSET', held, unpack(places)) -- new place first
    end
    if dropped then
      unvoid(prefix, dropped)
    end
    redis.call('LTRIM', list, looked_at, -1) -- old place last
    looked = looked + looked_at
  end
end

if got == 0 then
  local head = redis.call('ZRANGE', prefix .. 'delayed', 0, 0, 'WITHSCORES')
  local next_due = tonumber(head[2])
  if timed then
    local limit = redis.call('ZRANGE', due, 0, 0, 'WITHSCORES')
    next_due = limit[2] and math.min(next_due or math.huge, math.ceil(tonumber(limit[2]))) or next_due
  end
  answer[2] = next_due and math.max(0, next_due - now) or -1
end
if (looked > 0 or opened) and redis.call('EXISTS', prefix .. 'delayed', due, opening, unpack(levels)) > 0 then
  wake(prefix) -- we are busy now: the next one takes the rest, and keeps the time
end
return answer
