#!lua flags=no-writes
-- counts: how many jobs are where.
-- KEYS[1] jobs   ARGV prefix now
-- Answer: {ready, delayed, running, parked, dead, envelope of the oldest ready job | nil}
-- The oldest is the smallest id at the head of a level: ids begin with the time they were made.
-- includes: levels
local prefix = ARGV[1]
local ready, running, parked, oldest = 0, 0, 0, nil
for _, list in ipairs(levels) do
  ready = ready + redis.call('LLEN', list)
  local head = redis.call('LINDEX', list, 0)
  if head and (not oldest or head < oldest) then
    oldest = head
  end
end
for _, session in ipairs(redis.call('ZRANGE', prefix .. 'sessions', 0, -1)) do
  running = running + math.max(0, redis.call('HLEN', prefix .. 'held:' .. session) - 1)
end
for _, task in ipairs(redis.call('SMEMBERS', prefix .. 'parked')) do
  parked = parked + redis.call('LLEN', prefix .. 'parked:' .. task)
end
return {
  ready,
  redis.call('ZCARD', prefix .. 'delayed'),
  running,
  parked,
  redis.call('ZCARD', prefix .. 'dead'),
  oldest and redis.call('HGET', prefix .. 'jobs', oldest) or false,
}
