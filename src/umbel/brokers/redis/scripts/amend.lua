#!lua
-- amend: replace the envelope of a job by what its holder gives. On a full server it is refused.
-- KEYS[1] jobs   ARGV prefix now session (id tag envelope)*
-- Answer: per item 1 if the delivery is the session's, else 0
-- includes: alive
local prefix, session, answer = ARGV[1], ARGV[3], {}
local open = alive(prefix, session)
for i = 4, #ARGV, 3 do
  local id = ARGV[i]
  local ours = open
    and redis.call('HGET', prefix .. 'held:' .. session, id) == ARGV[i + 1]
    and redis.call('HEXISTS', prefix .. 'jobs', id) == 1
  if ours then
    redis.call('HSET', prefix .. 'jobs', id, ARGV[i + 2])
  end
  answer[#answer + 1] = ours and 1 or 0
end
return answer
