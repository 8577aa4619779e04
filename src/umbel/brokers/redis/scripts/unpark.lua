#!lua flags=allow-oom
-- unpark: jobs that waited for a task of this name become ready, at most `limit` a call.
-- KEYS[1] jobs   ARGV prefix now task limit
-- Answer: how many. New place, then old place.
-- includes: wake
local prefix, task, limit = ARGV[1], ARGV[3], tonumber(ARGV[4])
local list = prefix .. 'parked:' .. task
local members = redis.call('LRANGE', list, 0, limit - 1)
redis.call('HDEL', prefix .. 'meta', '') -- before 7.0 a full server runs a script whose first write is of this kind
for _, member in ipairs(members) do
  redis.call('RPUSH', prefix .. 'ready:' .. string.sub(member, 1, 1), string.sub(member, 2))
end
if #members > 0 then
  redis.call('LTRIM', list, #members, -1)
  wake(prefix)
end
if redis.call('EXISTS', list) == 0 then
  redis.call('SREM', prefix .. 'parked', task)
end
return #members
