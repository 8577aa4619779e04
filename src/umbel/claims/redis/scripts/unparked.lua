#!lua flags=allow-oom
-- unparked: strike out names under which nothing is parked any more, unless a job was parked there meanwhile.
-- KEYS[1] holders   ARGV prefix now (task seen)*   seen: how often jobs were parked there before the look
-- Answer: how many were struck out.
local parked, struck = ARGV[1] .. 'parked', 0
for i = 3, #ARGV, 2 do
  if redis.call('HGET', parked, ARGV[i]) == ARGV[i + 1] then
    struck = struck + redis.call('HDEL', parked, ARGV[i])
  end
end
return struck
