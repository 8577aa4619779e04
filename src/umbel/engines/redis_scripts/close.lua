#!lua flags=allow-oom
-- close: a session whose process is gone, as its own supervisor saw; its jobs return, at most `limit` a call.
-- KEYS[1] a key of the queue   ARGV prefix now session limit lease (id doom)*
--   lease  0: of a session that stopped jobs, whose name nobody knows but who made it; a minute is enough
--   doom  of a job for whose sake it ended, which is not charged; empty for one that it had started: a crash
-- Answer: how many returned. Dead first, then emptied: from the first write on it settles nothing.
-- The score -deadline leaves the rest to the next close; reclaim takes over after the lease, if none comes.
-- includes: now charge empty back
local prefix, session, lease = ARGV[1], ARGV[3], tonumber(ARGV[5])
if not redis.call('ZSCORE', prefix .. 'sessions', session) then
  return 0
end
local told = {}
for i = 6, #ARGV, 2 do
  told[ARGV[i]] = ARGV[i + 1]
end
redis.call('HDEL', prefix .. 'meta', '') -- before 7.0 a full server runs a script whose first write is of this kind
redis.call('ZADD', prefix .. 'sessions', -(now + lease), session)
local moved = empty(prefix, session, tonumber(ARGV[4]), function(id)
  charge(prefix, id, function()
    return told[id] == '' and 1 or 0, 0, told[id]
  end)
end, lease == 0 and 60000 or nil)
back.all(prefix, moved)
return moved
