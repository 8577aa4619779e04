-- includes: wake
-- back: how a job that its session holds no longer becomes ready; and who is told when it is done.
local back = {}
function back.is_there(prefix, id)
  return redis.call('HEXISTS', prefix .. 'jobs', id) == 1
end
function back.one(prefix, id, tag)
  redis.call('LPUSH', prefix .. 'ready:' .. string.sub(tag, 1, 1), id)
end
function back.all(prefix, moved)
  if moved > 0 then
    wake(prefix)
  end
end
