-- includes: wake
-- defer: a job to its place in time; if it is the first one now, somebody has to be told to keep the time.
local function defer(prefix, level, id, due)
  local member = level .. id
  redis.call('ZADD', prefix .. 'delayed', due, member)
  if redis.call('ZRANGE', prefix .. 'delayed', 0, 0)[1] == member then
    wake(prefix)
  end
end
