-- includes: limiting
-- adjusting: limits of a task go by what has been adjusted, at most `limit` a call; `from` is the last one that does. Answers the
-- last one that does now, if there may be more.
local function adjusting(prefix, limits, task, from, limit)
  local first = #task .. ':' .. task
  local names = redis.call(
    'ZRANGE', prefix .. 'limits', from == '' and '[' .. first or '(' .. from, '[' .. first .. '\255', 'BYLEX',
    'LIMIT', 0, limit
  )
  for _, name in ipairs(names) do
    limits.of(name)
  end
  if #names == limit then
    redis.call('HSET', prefix .. 'limits:sweeping', task, names[#names])
  else
    redis.call('HDEL', prefix .. 'limits:sweeping', task)
  end
  return #names == limit and names[#names] or ''
end
