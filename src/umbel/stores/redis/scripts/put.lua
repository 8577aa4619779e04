#!lua flags=allow-oom
-- put: store the terminal record of one job; the first one stays.
-- KEYS[1] record   ARGV channel value ttl_ms claim   claim: what this writer's claim looks like
-- Answer: 1 if the key now holds this value, 0 if another was first or another writer has the claim.
local now_there = redis.call('GET', KEYS[1])
if now_there and now_there ~= ARGV[4] then
  return now_there == ARGV[2] and 1 or 0
end
redis.call('DEL', KEYS[1]) -- before 7.0 a full server runs a script whose first write is of this kind
redis.call('SET', KEYS[1], ARGV[2], 'PX', ARGV[3])
redis.call('PUBLISH', ARGV[1], ARGV[2])
return 1
