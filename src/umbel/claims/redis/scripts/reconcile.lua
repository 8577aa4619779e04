#!lua flags=allow-oom
-- reconcile: give up, uncharged, what a session has here but does not know of.
-- KEYS[1] holders   ARGV prefix now session number (id number)*   what it knows of
-- Answer: {'ok', id*} | {'dead'} | {'stale'}. The number refuses a claim that is still on its way.
-- includes: alive keep
local prefix, session, number = ARGV[1], ARGV[3], tonumber(ARGV[4])
local held = prefix .. 'held:' .. session
if not alive(prefix, session) then
  return { 'dead' }
end
if number < tonumber(redis.call('HGET', held, '#') or 0) then -- the same number is this call, repeated
  return { 'stale' }
end
redis.call('HDEL', prefix .. 'meta', '') -- before 7.0 a full server runs a script whose first write is of this kind
redis.call('HSET', held, '#', ARGV[4])
local known = {}
for i = 5, #ARGV, 2 do
  known[ARGV[i] .. ' ' .. ARGV[i + 1]] = true -- a job may be listed under an earlier number too
end
local entries, answer = redis.call('HGETALL', held), { 'ok' }
for i = 1, #entries, 2 do
  local id = entries[i]
  if id ~= '#' and not known[id .. ' ' .. entries[i + 1]] then
    keep(prefix, id, 0, 'place', 'ready', 'marked', '0')
    redis.call('HDEL', prefix .. 'holders', id)
    redis.call('HDEL', held, id)
    answer[#answer + 1] = id
  end
end
return answer
