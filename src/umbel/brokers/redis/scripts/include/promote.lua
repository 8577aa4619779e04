-- includes: now
-- promote: up to `limit` due jobs to the back of their levels. New place, then old place.
local function promote(prefix, limit)
  local due = redis.call('ZRANGE', prefix .. 'delayed', '-inf', now, 'BYSCORE', 'LIMIT', 0, limit)
  if #due == 0 then
    return 0
  end
  local places = {}
  for _, member in ipairs(due) do
    local level = string.sub(member, 1, 1)
    places[level] = places[level] or {}
    table.insert(places[level], string.sub(member, 2))
  end
  for level, ids in pairs(places) do
    redis.call('RPUSH', prefix .. 'ready:' .. level, unpack(ids))
  end
  redis.call('ZREM', prefix .. 'delayed', unpack(due))
  return #due
end
