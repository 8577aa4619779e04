#!lua flags=allow-oom
-- reclaim: due jobs become ready, jobs of lapsed sessions return, nodes of flows that have opened go on sending, the oldest
-- dead letters and the names of forgotten flows go. Never buries a job.
-- KEYS[1] jobs   ARGV prefix now lease limit
-- Answer: {promoted, returned, ms until the next job is due, ms until a session may lapse}, -1 for none.
-- Nobody knows what a lapsed session had started: a loss is charged, or a crash if the job was marked.
-- includes: now seen promote charge empty wake levels pump over forget limiting sweep adjusting
local prefix, lease, limit = ARGV[1], tonumber(ARGV[3]), tonumber(ARGV[4])
local sessions, dead = prefix .. 'sessions', prefix .. 'dead'
local DEAD_MS, MOST_DEAD = 30 * 86400000, 100000

local function account(id)
  charge(prefix, id, function(marked)
    return marked and 1 or 0, marked and 0 or 1
  end)
end

redis.call('HDEL', prefix .. 'meta', '') -- before 7.0 a full server runs a script whose first write is of this kind
local hold = seen(prefix, lease)
local promoted, returned = promote(prefix, limit), 0

-- A deadline beyond two leases was set by a clock that has been set back since.
for _, session in ipairs(redis.call('ZRANGE', sessions, now + 2 * lease, '+inf', 'BYSCORE', 'LIMIT', 0, 64)) do
  redis.call('ZADD', sessions, now + lease, session)
end
-- Scores: a deadline; 0 for a session being emptied here; -deadline for one being closed by its supervisor.
local lapsed = redis.call('ZRANGE', sessions, -now, now >= hold and now or 0, 'BYSCORE', 'LIMIT', 0, 16)
for _, session in ipairs(lapsed) do
  redis.call('ZADD', sessions, 0, session)
end
for _, session in ipairs(lapsed) do
  if promoted + returned < limit then
    returned = returned + empty(prefix, session, limit - promoted - returned, account)
  end
end

for _, list in ipairs({ 'opening', 'posting' }) do
  if promoted + returned < limit then
    promoted = promoted + pump(prefix .. list, limit - promoted - returned)
  end
end
over(prefix, limit)

local falls_due = prefix .. 'limits:due'
local kept = { falls_due, prefix .. 'limits:watched', prefix .. 'limits:idle', prefix .. 'limits:sweeping' }
if promoted + returned < limit and redis.call('EXISTS', unpack(kept)) > 0 then
  local limits = limiting(prefix)
  sweep(prefix, limits, limit)
  local waiting = redis.call('HKEYS', prefix .. 'limits:sweeping')
  for i = 1, math.min(#waiting, 1) do
    adjusting(prefix, limits, waiting[i], redis.call('HGET', prefix .. 'limits:sweeping', waiting[i]), limit)
  end
  promoted = promoted + limits.due(limit - promoted - returned)
end

local old = redis.call('ZRANGE', dead, '-inf', now - DEAD_MS, 'BYSCORE', 'LIMIT', 0, limit)
local excess = redis.call('ZCARD', dead) - MOST_DEAD
if #old == 0 and excess > 0 then
  old = redis.call('ZRANGE', dead, 0, math.min(excess, limit) - 1)
end
if #old > 0 then
  forget(prefix, old)
end

if redis.call('EXISTS', prefix .. 'opening', unpack(levels)) > 0 then
  wake(prefix)
end
local due = tonumber(redis.call('ZRANGE', prefix .. 'delayed', 0, 0, 'WITHSCORES')[2])
local release = redis.call('ZRANGE', falls_due, 0, 0, 'WITHSCORES')[2]
if release then
  due = math.min(due or math.huge, math.ceil(tonumber(release)))
end
local deadline = redis.call('ZRANGE', sessions, 0, '+inf', 'BYSCORE', 'LIMIT', 0, 1, 'WITHSCORES')[2]
return {
  promoted,
  returned,
  due and math.max(0, due - now) or -1,
  deadline and math.max(0, tonumber(deadline) > 0 and math.max(tonumber(deadline), hold) - now or 0) or -1,
}
