-- includes: now
-- over: flows whose time after their end has passed are forgotten, at most `limit`.
local function over(prefix, limit)
  local flows = redis.call('ZRANGE', prefix .. 'flows:over', '-inf', now, 'BYSCORE', 'LIMIT', 0, limit)
  if #flows > 0 then
    for _, flow in ipairs(flows) do
      redis.call('UNLINK', prefix .. 'flow:' .. flow, prefix .. 'flow-more:' .. flow)
    end
    redis.call('ZREM', prefix .. 'flows', unpack(flows))
    redis.call('ZREM', prefix .. 'flows:over', unpack(flows))
  end
end
