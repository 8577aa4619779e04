#!lua flags=no-writes
-- sessions: who is here.
-- KEYS[1] a key of the queue   ARGV prefix now
-- Answer: per open session {session, info, ms left of its lease, {id*}}
-- includes: now
local prefix = ARGV[1]
local answer = {}
local open = redis.call('ZRANGE', prefix .. 'sessions', '(0', '+inf', 'BYSCORE', 'WITHSCORES')
for i = 1, #open, 2 do
  local ids = {}
  for _, id in ipairs(redis.call('HKEYS', prefix .. 'held:' .. open[i])) do
    if id ~= '#' then
      ids[#ids + 1] = id
    end
  end
  local info = redis.call('HGET', prefix .. 'info', open[i]) or ''
  answer[#answer + 1] = { open[i], info, tonumber(open[i + 1]) - now, ids }
end
return answer
