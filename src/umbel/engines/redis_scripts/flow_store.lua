#!lua
-- flow_store: keep a part of a flow that is not started yet; it expires in an hour if nobody goes on.
-- KEYS[1] jobs   ARGV prefix now flow first(1|0) (field value)*
-- Answer: 1 | 0 it is started already | -1 what was stored before has expired. See open for the fields.
local key, STORED_MS = ARGV[1] .. 'flow:' .. ARGV[3], 3600000
if redis.call('HEXISTS', key, 'created') == 1 then
  return 0
end
if ARGV[4] == '0' and redis.call('EXISTS', key) == 0 then
  return -1
end
redis.call('HSET', key, unpack(ARGV, 5))
redis.call('PEXPIRE', key, STORED_MS)
return 1
