#!lua flags=allow-oom
-- reclaim: the claims of lapsed sessions are freed, at most `limit` a call; flows that are over are forgotten.
-- KEYS[1] holders   ARGV prefix now lease limit
-- Answer: {freed, ms until a session may lapse}, -1 for none.
-- Nobody knows what a lapsed session had started: a loss is charged, or a crash if the job was marked.
-- includes: now seen charge empty over
local prefix, lease, limit = ARGV[1], tonumber(ARGV[3]), tonumber(ARGV[4])
local sessions = prefix .. 'sessions'

local function account(id)
  charge(prefix, id, function(marked)
    return marked and 1 or 0, marked and 0 or 1
  end)
end

redis.call('HDEL', prefix .. 'meta', '') -- before 7.0 a full server runs a script whose first write is of this kind
local hold = seen(prefix, lease)
-- A deadline beyond two leases was set by a clock that has been set back since.
for _, session in ipairs(redis.call('ZRANGE', sessions, now + 2 * lease, '+inf', 'BYSCORE', 'LIMIT', 0, 64)) do
  redis.call('ZADD', sessions, now + lease, session)
end
-- Scores: a deadline; 0 for a session being emptied here; -deadline for one being closed by its supervisor.
local lapsed = redis.call('ZRANGE', sessions, -now, now >= hold and now or 0, 'BYSCORE', 'LIMIT', 0, 16)
for _, session in ipairs(lapsed) do
  redis.call('ZADD', sessions, 0, session)
end
local freed = 0
for _, session in ipairs(lapsed) do
  if freed < limit then
    freed = freed + empty(prefix, session, limit - freed, account)
  end
end
over(prefix, 200)
local deadline = redis.call('ZRANGE', sessions, 0, '+inf', 'BYSCORE', 'LIMIT', 0, 1, 'WITHSCORES')[2]
return {
  freed,
  deadline and math.max(0, tonumber(deadline) > 0 and math.max(tonumber(deadline), hold) - now or 0) or -1,
}
