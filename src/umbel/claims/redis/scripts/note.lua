#!lua flags=allow-oom
-- note: what the holder of a job notes of its progress; kept until the job is over, or for a month.
-- KEYS[1] holders   ARGV prefix now session (id number note)*
-- Answer: per item 1 if the delivery is the session's, else 0
-- includes: alive keep
local prefix, session, answer = ARGV[1], ARGV[3], {}
local open = alive(prefix, session)
redis.call('HDEL', prefix .. 'meta', '') -- before 7.0 a full server runs a script whose first write is of this kind
for i = 4, #ARGV, 3 do
  local id = ARGV[i]
  local ours = open and redis.call('HGET', KEYS[1], id) == session .. ':' .. ARGV[i + 1]
  if ours then
    keep(prefix, id, 0, 'note', ARGV[i + 2])
  end
  answer[#answer + 1] = ours and 1 or 0
end
return answer
