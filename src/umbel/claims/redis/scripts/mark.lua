#!lua flags=allow-oom
-- mark: note that a job in quarantine is about to start; if its session lapses, that was a crash.
-- KEYS[1] holders   ARGV prefix now session id number
-- Answer: 1, or 0 if the delivery is not the session's any more.
-- includes: alive keep
local prefix, session, id = ARGV[1], ARGV[3], ARGV[4]
if not alive(prefix, session) or redis.call('HGET', KEYS[1], id) ~= session .. ':' .. ARGV[5] then
  return 0
end
redis.call('HDEL', prefix .. 'meta', '') -- before 7.0 a full server runs a script whose first write is of this kind
keep(prefix, id, 0, 'marked', '1', 'place', 'ready')
return 1
