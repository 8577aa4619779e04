#!lua flags=allow-oom
-- published: forget a parcel, unless a later one has taken its place.
-- KEYS[1] holders   ARGV prefix now id parcel task   task: under which the job is parked now, or empty
-- Answer: 1 if the parcel was there.
local key = ARGV[1] .. 'parcel:' .. ARGV[3]
redis.call('HDEL', ARGV[1] .. 'meta', '') -- before 7.0 a full server runs a script whose first write is of this kind
if ARGV[5] ~= '' then
  redis.call('HINCRBY', ARGV[1] .. 'parked', ARGV[5], 1)
end
if redis.call('GET', key) ~= ARGV[4] then
  return 0
end
return redis.call('DEL', key)
