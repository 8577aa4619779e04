#!lua flags=no-writes
-- locate: where one job is. Costs a look into each session and each parked list.
-- KEYS[1] jobs   ARGV prefix now id
-- Answer: {place, counts | nil, note | nil}
local prefix, id = ARGV[1], ARGV[3]

local function held()
  for _, session in ipairs(redis.call('ZRANGE', prefix .. 'sessions', 0, -1)) do
    if redis.call('HEXISTS', prefix .. 'held:' .. session, id) == 1 then
      return true
    end
  end
  return false
end

local function in_time(level)
  return redis.call('ZSCORE', prefix .. 'delayed', level .. id)
end

local function parked()
  for _, task in ipairs(redis.call('SMEMBERS', prefix .. 'parked')) do
    for level = 0, 9 do
      if redis.call('LPOS', prefix .. 'parked:' .. task, level .. id) then
        return true
      end
    end
  end
  return false
end

local function delayed()
  for level = 0, 9 do
    if in_time(level) then
      return true
    end
  end
  return false
end

local function place()
  if redis.call('HEXISTS', prefix .. 'jobs', id) == 0 then
    return redis.call('EXISTS', prefix .. 'r:' .. id) == 1 and 'ended' or 'unknown'
  end
  if redis.call('ZSCORE', prefix .. 'dead', id) then
    return 'dead'
  end
  local limited = redis.call('HGET', prefix .. 'limited', id)
  if limited and string.sub(limited, 1, 1) == 'h' and not held() then
    return 'held'
  end
  return held() and 'running' or delayed() and 'delayed' or parked() and 'parked' or 'ready'
end

return { place(), redis.call('HGET', prefix .. 'counts', id), redis.call('HGET', prefix .. 'notes', id) }
