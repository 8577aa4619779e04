#!lua flags=allow-oom
-- adjust: all limits of a task in this queue allow that pace, whatever its jobs say; or what these say again.
-- KEYS[1] jobs   ARGV prefix now task pace   pace: as of limiting; empty for what the jobs say
-- Answer: 1. Limits beyond the first 200 follow with the next reclaims.
-- includes: now wake limiting adjusting
local prefix, task, pace = ARGV[1], ARGV[3], ARGV[4]
redis.call('HDEL', prefix .. 'meta', '') -- before 7.0 a full server runs a script whose first write is of this kind
if pace == '' then
  redis.call('HDEL', prefix .. 'limits:adjusted', task)
else
  redis.call('HSET', prefix .. 'limits:adjusted', task, pace)
end
local limits = limiting(prefix)
limits.of(#task .. ':' .. task)
adjusting(prefix, limits, task, '', 200)
limits.done(200)
return 1
