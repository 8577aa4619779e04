#!lua flags=allow-oom
-- flow_revoke: a running flow is revoked from here on; whoever receives a job of it asks.
-- KEYS[1] jobs   ARGV prefix now flow
-- Answer: 1 if it was running
local key = ARGV[1] .. 'flow:' .. ARGV[3]
local found = redis.call('HMGET', key, 'created', 'state')
if not found[1] or found[2] ~= 'running' then
  return 0
end
redis.call('HSET', key, 'state', 'revoked')
return 1
