-- includes: now wake
-- limit_noting: writes how a limit stands when a script is done with it.
local function limit_noting(prefix, quiet)
  local due = prefix .. 'limits:due'

  -- Note how the limit stands. One without jobs is forgotten when it may release as if it had never released any.
  return function(limit)
    local at = limit.again
    if at then
      redis.call('ZADD', due, at, limit.name)
      if not quiet and redis.call('ZRANGE', due, 0, 0)[1] == limit.name then
        wake(prefix)
      end
    elseif limit.interval > 0 or limit.is_stirred then
      redis.call('ZREM', due, limit.name)
    end
    local has_jobs = limit.has_runs or redis.call('EXISTS', limit.runs, limit.turns) > 0
    local good_as_new = limit.interval > 0 and limit.next + (limit.burst - 1) * limit.interval or 0
    local is_listed = has_jobs or limit.marked
    if is_listed and not limit.is_listed then
      redis.call('ZADD', prefix .. 'limits', 0, limit.name)
    elseif not is_listed then
      redis.call('ZREM', prefix .. 'limits', limit.name)
    end
    if is_listed or good_as_new > now then
      local next_start, held = string.format('%.3f', limit.next), is_listed and (has_jobs and limit.held or 0) or -1
      if limit.known ~= limit.pace .. ' ' .. next_start .. ' ' .. held then
        redis.call('HSET', limit.key, 'pace', limit.pace, 'next', next_start, 'held', held)
      end
    else
      redis.call('DEL', limit.key)
    end
    if not has_jobs and good_as_new > now then
      redis.call('ZADD', prefix .. 'limits:idle', good_as_new, limit.name)
    elseif limit.interval > 0 then
      redis.call('ZREM', prefix .. 'limits:idle', limit.name)
    end
  end
end
