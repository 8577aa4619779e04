#!lua
-- schedule: replace rows that are still as they were seen, and send the jobs of those.
-- KEYS[1] jobs   ARGV prefix now (name revision value n job*)*   revision 0: there must be none; an empty value removes
--   job        n times J prefix queue id level at envelope; O instead of J: on another node, left in the outbox here
-- Answer: per change 1 if it was carried out, else 0
-- Order of writes: jobs, then the row. A cut between them repeats the tick, whose job's id is known; it never loses one.
-- includes: now wake defer
local prefix = ARGV[1]
local rows, revisions = prefix .. 'rows', prefix .. 'revisions'
local new = redis.call('INCR', prefix .. 'revision')

local function send(place, queue, id, level, at, envelope)
  if redis.call('HEXISTS', place .. 'jobs', id) == 1 or redis.call('EXISTS', place .. 'r:' .. id) == 1 then
    return
  end
  if at < 0 then
    at = now - at
  end
  if at > now then
    defer(place, level, id, at)
  else
    redis.call('RPUSH', place .. 'ready:' .. level, id)
  end
  redis.call('HSET', place .. 'jobs', id, envelope)
  wake(place)
end

local function post(_, queue, id, level, at, envelope)
  local text = string.format('%s %.0f %d ', level, at < 0 and now - at or at, #queue)
  redis.call('HSET', prefix .. 'outbox', id, text .. queue .. envelope)
end

local answer, at = {}, 3
while ARGV[at] do
  local name, seen, value, n = ARGV[at], tonumber(ARGV[at + 1]), ARGV[at + 2], tonumber(ARGV[at + 3])
  local known = tonumber(redis.call('ZSCORE', revisions, name) or 0)
  local ours = known == seen and not (known == 0 and value == '')
  at = at + 4
  for _ = 1, n do
    if ours then
      local leave = ARGV[at] == 'J' and send or post
      leave(ARGV[at + 1], ARGV[at + 2], ARGV[at + 3], ARGV[at + 4], tonumber(ARGV[at + 5]), ARGV[at + 6])
    end
    at = at + 7
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
