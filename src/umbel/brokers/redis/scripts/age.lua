#!lua flags=allow-oom
-- age: jobs that nobody took for long rise to the end of the next more urgent level, at most `most` a level.
-- KEYS[1] jobs   ARGV prefix now milliseconds most
-- Answer: how many.
-- `ageing` is a HASH of levels: '<ms> <id>', which entry stands at the front since when. If nobody ages the queue any more
-- it expires. Most urgent level first, so that nothing rises twice. New place, then old place: a cut repeats, never loses.
-- includes: now levels
local prefix, milliseconds, most = ARGV[1], tonumber(ARGV[3]), tonumber(ARGV[4])
local ageing, raised = prefix .. 'ageing', 0
redis.call('HDEL', prefix .. 'meta', '') -- before 7.0 a full server runs a script whose first write is of this kind
if redis.call('EXISTS', prefix .. 'paused') == 1 then
  redis.call('DEL', ageing)
  return 0
end

local known = {}
for level = 1, 9 do
  local since, front = string.match(redis.call('HGET', ageing, level) or '', '^(%d+) (.*)$')
  since = tonumber(since)
  if since and since <= now then -- else its clock has been set back
    known[level] = front
  end
  local list = levels[level + 1]
  if known[level] and since <= now - milliseconds and redis.call('LINDEX', list, 0) == front then
    local ids = redis.call('LRANGE', list, 0, most - 1)
    redis.call('RPUSH', levels[level], unpack(ids))
    redis.call('LTRIM', list, #ids, -1)
    raised = raised + #ids
  end
end

for level = 1, 9 do
  local front = redis.call('LINDEX', levels[level + 1], 0)
  if not front then
    redis.call('HDEL', ageing, level)
  elseif front ~= known[level] then
    redis.call('HSET', ageing, level, string.format('%d %s', now, front))
  end
end
redis.call('PEXPIRE', ageing, 2 * milliseconds + 60000)
return raised
