#!lua flags=allow-oom
-- claim: reserve the record of one job for a writer; a later claim takes over an earlier one.
-- KEYS[1] record   ARGV claim ttl_ms mark   mark: the two bytes that a claim begins with, and no record does
-- Answer: the record, if one is there already, else nil.
local now_there = redis.call('GET', KEYS[1])
if now_there and string.sub(now_there, 1, 2) ~= ARGV[3] then
  return now_there
end
redis.call('DEL', KEYS[1]) -- before 7.0 a full server runs a script whose first write is of this kind
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
return false
