#!lua
-- schedule: replace rows that are still as they were seen, and send the jobs of those.
-- KEYS[1] jobs   ARGV prefix now (name revision value n job*)*   revision 0: there must be none; an empty value removes
--   job        n times kind place id level at envelope; see hand
-- Answer: per change 1 if it was carried out, else 0
-- Order of writes: jobs, then the row. A cut between them repeats the tick, whose job's id is known; it never loses one.
-- includes: hand
local prefix = ARGV[1]
local rows, revisions = prefix .. 'rows', prefix .. 'revisions'
local new = redis.call('INCR', prefix .. 'revision')

local answer, at = {}, 3
while ARGV[at] do
  local name, seen, value, n = ARGV[at], tonumber(ARGV[at + 1]), ARGV[at + 2], tonumber(ARGV[at + 3])
  local known = tonumber(redis.call('ZSCORE', revisions, name) or 0)
  local ours = known == seen and not (known == 0 and value == '')
  at = at + 4
  for _ = 1, n do
    if ours then
      hand(prefix, ARGV[at], ARGV[at + 1], { unpack(ARGV, at + 2, at + 5) })
    end
    at = at + 6
  end
  if ours and value == '' then
    redis.call('HDEL', rows, name)
    redis.call('ZREM', revisions, name)
  elseif ours then
    redis.call('HSET', rows, name, value)
    redis.call('ZADD', revisions, new, name)
  end
  answer[#answer + 1] = ours and 1 or 0
end
return answer
