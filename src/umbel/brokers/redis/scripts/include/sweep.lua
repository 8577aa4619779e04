-- includes: now limiting
-- sweep: look after jobs that are out or entered or have a unique key, those that were not for longest: what a cut or a
-- failover has left of jobs that are over goes. And limits go that are as good as new.
local function sweep(prefix, limits, limit)
  local watched, PATIENCE_MS = prefix .. 'limits:watched', 30000
  local ids = redis.call('ZRANGE', watched, '-inf', now - PATIENCE_MS, 'BYSCORE', 'LIMIT', 0, limit)
  for _, id in ipairs(ids) do
    local text, key = redis.call('HGET', prefix .. 'limited', id), redis.call('HGET', prefix .. 'uniques', id)
    local place, level = string.match(text or '-0', '^(.)(%d)')
    local is_over = limits.is_over(id, level)
    if place == 'h' then -- counted, and cut off before it was released
      limits.uncount(id, text)
    elseif is_over and text then
      limits.forget(id, text)
    end
    if key and (redis.call('HEXISTS', prefix .. 'jobs', id) == 0 or redis.call('ZSCORE', prefix .. 'dead', id)) then
      limits.unique.drop(key, id)
      key = nil
    end
    if key or text and not is_over then
      redis.call('ZADD', watched, now, id)
    elseif not text then -- else it is looked after no more when it has been forgotten
      redis.call('ZREM', watched, id)
    end
  end
  for _, name in ipairs(redis.call('ZRANGE', prefix .. 'limits:idle', '-inf', now, 'BYSCORE', 'LIMIT', 0, limit)) do
    limits.of(name)
  end
end
