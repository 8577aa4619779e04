-- includes: keep
-- free: end the claims of a dead session, at most `limit`, each charged by what `charge(id, marked)` answers:
-- crashes and losses. An emptied session is forgotten; its `held` stays a day, so that its id is not opened again.
local function free(prefix, session, limit, charge)
  local held = prefix .. 'held:' .. session
  local entries, freed = redis.call('HGETALL', held), 0
  for i = 1, #entries, 2 do
    local id = entries[i]
    if id ~= '#' then
      if freed == limit then
        return freed
      end
      freed = freed + 1
      local crashes, losses = charge(id, redis.call('HGET', prefix .. 'j:' .. id, 'marked') == '1')
      keep(prefix, id, 0, 'marked', '0', 'place', 'ready')
      redis.call('HINCRBY', prefix .. 'j:' .. id, 'crashes', crashes)
      redis.call('HINCRBY', prefix .. 'j:' .. id, 'losses', losses)
      redis.call('HDEL', prefix .. 'holders', id)
      redis.call('HDEL', held, id)
    end
  end
  redis.call('PEXPIRE', held, 86400000)
  redis.call('HDEL', prefix .. 'info', session)
  redis.call('ZREM', prefix .. 'sessions', session)
  return freed
end
