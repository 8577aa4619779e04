-- includes: now
-- seen: note that a supervisor reached this server; answers until when no session may be declared dead.
-- If nobody did for half a lease, or the clock jumped by as much, the sessions get half a lease (>= 3 s) to come back.
local function seen(prefix, lease)
  local meta = redis.call('HMGET', prefix .. 'meta', 'seen', 'hold')
  local last, hold = tonumber(meta[1] or now), tonumber(meta[2] or 0)
  if math.abs(now - last) > lease / 2 then
    hold = now + math.max(lease / 2, 3000)
  end
  redis.call('HSET', prefix .. 'meta', 'seen', now, 'hold', hold)
  return hold
end
