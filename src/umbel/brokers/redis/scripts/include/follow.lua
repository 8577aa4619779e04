-- includes: now defer wake revived
-- follow: a job whose id is not known yet to its queue; `at` in ms, below 0 from now on. Place first, envelope second.
local function follow(place, id, level, at, envelope)
  if redis.call('HEXISTS', place .. 'jobs', id) == 1 then
    return
  end
  if redis.call('EXISTS', place .. 'r:' .. id, place .. 'void') > 0 then
    if redis.call('EXISTS', place .. 'r:' .. id) == 1 then
      return
    end
    revived(place, { id })
  end
  if at < 0 then
    at = now - at
  end
  if at > now then
    defer(place, level, id, at)
  else
    redis.call('RPUSH', place .. 'ready:' .. level, id)
  end
  redis.call('HSET', place .. 'jobs', id, envelope)
  wake(place)
end
