#!lua flags=no-writes
-- counts: how many jobs are where.
-- KEYS[1] jobs   ARGV prefix now
-- Answer: {ready, delayed, running, parked, dead, envelope of the oldest ready job | nil, held}
-- What is due in delayed is ready: no receive may have come to promote it.
-- The oldest is the smallest id at the head of a level: ids begin with the time they were made. Else it is the first due.
-- includes: levels now voids
local prefix = ARGV[1]
local void = redis.call('SCARD', prefix .. 'void')
local ready, running, parked, oldest = -void, 0, 0, nil

local function head_of(list)
  local at = 0
  while void > 0 do
    local ids = redis.call('LRANGE', list, at, at + 99)
    local skipped = #ids > 0 and voids(prefix, ids) or {}
    for i, id in ipairs(ids) do
      if not skipped[i] then
        return id
      end
    end
    at = at + #ids
    if #ids == 0 then
      return nil
    end
  end
  return redis.call('LINDEX', list, 0)
end

for _, list in ipairs(levels) do
  ready = ready + redis.call('LLEN', list)
  local head = head_of(list)
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
local delayed = prefix .. 'delayed'
local due = redis.call('ZCOUNT', delayed, '-inf', now)
if due > 0 and not oldest then
  oldest = string.sub(redis.call('ZRANGE', delayed, 0, 0)[1], 2)
end
return {
  ready + due,
  redis.call('ZCARD', delayed) - due,
  running,
  parked,
  redis.call('ZCARD', prefix .. 'dead'),
  oldest and redis.call('HGET', prefix .. 'jobs', oldest) or false,
  redis.call('ZCARD', prefix .. 'holding'),
}
