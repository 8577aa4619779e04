#!lua flags=no-writes
-- schedules: read the rows that changed.
-- KEYS[1] jobs   ARGV prefix now revision
-- Answer: {now in ms, number of all rows, (name revision value)*} of the rows written after that revision
-- Keys: rows HASH name -> value | revisions ZSET name by revision | revision, the last one
-- includes: now
local prefix = ARGV[1]
local names = redis.call('ZRANGE', prefix .. 'revisions', '(' .. ARGV[3], '+inf', 'BYSCORE', 'WITHSCORES')
local answer = { now, redis.call('ZCARD', prefix .. 'revisions') }
for i = 1, #names, 2 do
  local value = redis.call('HGET', prefix .. 'rows', names[i])
  if value then
    answer[#answer + 1] = names[i]
    answer[#answer + 1] = names[i + 1]
    answer[#answer + 1] = value
  end
end
return answer
