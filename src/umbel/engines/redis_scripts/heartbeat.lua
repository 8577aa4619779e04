#!lua flags=allow-oom
-- heartbeat: renew sessions, or open them.
-- KEYS[1] a key of the queue   ARGV prefix now lease opening(1|0) (session info)*
-- Answer: per session 1 if it is open, else 0. An id that is or was open is not opened.
-- includes: now alive seen
local prefix, lease, opening = ARGV[1], tonumber(ARGV[3]), ARGV[4] == '1'
redis.call('HDEL', prefix .. 'meta', '') -- before 7.0 a full server runs a script whose first write is of this kind
seen(prefix, lease)
local answer = {}
for i = 5, #ARGV, 2 do
  local session, open = ARGV[i], false
  if opening then
    local held = prefix .. 'held:' .. session
    open = redis.call('EXISTS', held) == 0
    if open then
      redis.call('HSET', held, '#', 0)
    end
  else
    open = alive(prefix, session)
  end
  if open then
    redis.call('ZADD', prefix .. 'sessions', now + lease, session)
    redis.call('HSET', prefix .. 'info', session, ARGV[i + 1])
  end
  answer[#answer + 1] = open and 1 or 0
end
return answer
