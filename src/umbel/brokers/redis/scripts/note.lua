#!lua flags=allow-oom
-- note: what the holder of a job notes of its progress; kept until the job is over.
-- KEYS[1] jobs   ARGV prefix now session (id tag note)*
-- Answer: per item 1 if the delivery is the session's, else 0
-- includes: alive
local prefix, session, answer = ARGV[1], ARGV[3], {}
local open = alive(prefix, session)
redis.call('HDEL', prefix .. 'meta', '') -- before 7.0 a full server runs a script whose first write is of this kind
for i = 4, #ARGV, 3 do
  local id = ARGV[i]
  local ours = open
    and redis.call('HGET', prefix .. 'held:' .. session, id) == ARGV[i + 1]
    and redis.call('HEXISTS', prefix .. 'jobs', id) == 1
  if ours then
    redis.call('HSET', prefix .. 'notes', id, ARGV[i + 2])
  end
  answer[#answer + 1] = ours and 1 or 0
end
return answer
