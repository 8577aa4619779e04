#!lua flags=allow-oom
-- adjust: all limits of a task in this queue allow that pace, whatever its jobs say; or what these say again.
-- KEYS[1] jobs   ARGV prefix now task pace from   pace: as of limiting; empty for what the jobs say
--   from    empty, or what the call before answered: the limits behind that are looked after
-- Answer: empty, or the last limit that was looked after. If nobody calls again, the next reclaims go on there.
-- includes: now wake limiting adjusting
local prefix, task, pace, from = ARGV[1], ARGV[3], ARGV[4], ARGV[5]
redis.call('HDEL', prefix .. 'meta', '') -- before 7.0 a full server runs a script whose first write is of this kind
if from == '' and pace == '' then
  redis.call('HDEL', prefix .. 'limits:adjusted', task)
elseif from == '' then
  redis.call('HSET', prefix .. 'limits:adjusted', task, pace)
end
local limits = limiting(prefix)
limits.of(#task .. ':' .. task)
local last = adjusting(prefix, limits, task, from, 50)
limits.done(50)
return last
