#!lua flags=allow-oom
-- mark: note that a job in quarantine is about to start; if its session lapses, that was a crash.
-- KEYS[1] jobs   ARGV prefix now session id tag
-- Answer: 1, or 0 if the delivery is not the session's any more.
-- includes: alive
local prefix, session, id, tag = ARGV[1], ARGV[3], ARGV[4], ARGV[5]
if not alive(prefix, session) or redis.call('HGET', prefix .. 'held:' .. session, id) ~= tag then
  return 0
end
redis.call('HDEL', prefix .. 'meta', '') -- before 7.0 a full server runs a script whose first write is of this kind
local counts = redis.call('HGET', prefix .. 'counts', id) or '0:0:0:-'
redis.call('HSET', prefix .. 'counts', id, string.sub(counts, 1, -2) .. 'q')
return 1
