#!lua
-- flow_start: store the last part of a flow and open the nodes that wait for nobody any more. A flow that was started is kept.
-- KEYS[1] jobs   ARGV prefix now flow first(1|0) count (node)*count (field value)*   count nodes wait for nobody
-- Answer: 1 started | 0 it was started already | -1 what was stored before has expired
-- Stored, sent, and marked as created last: a cut repeats. From `persist` on it does not expire before its end.
-- includes: now open
local prefix, flow, count = ARGV[1], ARGV[3], tonumber(ARGV[5])
local key = prefix .. 'flow:' .. flow
if redis.call('HEXISTS', key, 'created') == 1 then
  return 0
end
if ARGV[4] == '0' and redis.call('EXISTS', key) == 0 then
  return -1
end
redis.call('HSET', key, unpack(ARGV, 6 + count))
redis.call('PERSIST', key)
redis.call('PERSIST', prefix .. 'flow-more:' .. flow)
redis.call('ZADD', prefix .. 'flows', now, flow)
for i = 6, 5 + count do
  local state = redis.call('HGET', key, 'n:' .. ARGV[i])
  if select(6, read(state)) == '0' then
    open(prefix, flow, ARGV[i], state)
  end
end
redis.call('HSET', key, 'created', now)
return 1
