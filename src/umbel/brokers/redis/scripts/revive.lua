#!lua flags=allow-oom
-- revive: dead letters become ready again, at the end of their levels, as if they had never been handed out.
-- KEYS[1] jobs   ARGV prefix now id*
-- Answer: per id 1 if it was a dead letter, else 0. The record goes first, the new place comes before the old one.
-- includes: wake
local prefix, answer, again = ARGV[1], {}, false
redis.call('HDEL', prefix .. 'meta', '') -- before 7.0 a full server runs a script whose first write is of this kind
for i = 3, #ARGV do
  local id = ARGV[i]
  local dead = redis.call('ZSCORE', prefix .. 'dead', id) and redis.call('HEXISTS', prefix .. 'jobs', id) == 1
  if dead then
    local level = redis.call('HGET', prefix .. 'buried', id) or 9
    redis.call('DEL', prefix .. 'r:' .. id)
    for _, name in ipairs({ 'counts', 'notes' }) do
      redis.call('HDEL', prefix .. name, id)
    end
    redis.call('RPUSH', prefix .. 'ready:' .. level, id)
    redis.call('ZREM', prefix .. 'dead', id)
    again = true
  end
  redis.call('HDEL', prefix .. 'buried', id)
  answer[#answer + 1] = dead and 1 or 0
end
if again then
  wake(prefix)
end
return answer
