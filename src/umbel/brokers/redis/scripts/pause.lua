#!lua flags=allow-oom
-- pause: nobody receives from this queue, or everybody again.
-- KEYS[1] jobs   ARGV prefix now paused(1|0)
-- Answer: 1 if that is new. While it is paused, who waits for work waits for `resumed`, not for `wake`: whatever is
-- sent wakes nobody. At the end each gets a token there, and what is left of them goes. Tokens first: a cut repeats.
-- includes: wake
local prefix, paused = ARGV[1], ARGV[3] == '1'
redis.call('HDEL', prefix .. 'meta', '') -- before 7.0 a full server runs a script whose first write is of this kind
if (redis.call('EXISTS', prefix .. 'paused') == 1) == paused then
  return 0
end
if paused then
  redis.call('DEL', prefix .. 'resumed')
  redis.call('SET', prefix .. 'paused', 1)
  return 1
end
local tokens = {}
for i = 1, math.min(redis.call('ZCARD', prefix .. 'sessions'), 1000) do
  tokens[i] = 1
end
if #tokens > 0 then
  redis.call('RPUSH', prefix .. 'resumed', unpack(tokens))
  redis.call('PEXPIRE', prefix .. 'resumed', 10000)
end
wake(prefix)
redis.call('DEL', prefix .. 'paused')
return 1
