-- forget: delete dead letters for ever.
local function forget(prefix, ids)
  redis.call('HDEL', prefix .. 'jobs', unpack(ids))
  for _, name in ipairs({ 'counts', 'notes', 'buried' }) do
    redis.call('HDEL', prefix .. name, unpack(ids))
  end
  redis.call('ZREM', prefix .. 'dead', unpack(ids))
end
