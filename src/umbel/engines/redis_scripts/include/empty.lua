-- includes: back
-- empty: jobs of a dead session, at most `limit`, to the front of their levels, charged by `account(id)`.
-- An emptied session is forgotten; its `held` stays a day, or `milliseconds`, so that its id is not opened again.
local function empty(prefix, session, limit, account, milliseconds)
  local held = prefix .. 'held:' .. session
  local entries, moved = redis.call('HGETALL', held), 0
  for i = #entries - 1, 1, -2 do -- from the end: what was taken first comes first again
    local id = entries[i]
    if id ~= '#' then
      if moved == limit then
        return moved
      end
      moved = moved + 1
      if back.is_there(prefix, id) then
        account(id)
        back.one(prefix, id, entries[i + 1])
      end
      redis.call('HDEL', held, id)
    end
  end
  redis.call('PEXPIRE', held, milliseconds or 86400000)
  redis.call('HDEL', prefix .. 'info', session)
  redis.call('ZREM', prefix .. 'sessions', session)
  return moved
end
