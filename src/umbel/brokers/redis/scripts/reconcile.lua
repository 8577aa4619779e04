#!lua flags=allow-oom
-- reconcile: give back what a session holds here but does not know of, uncharged, to the front.
-- KEYS[1] jobs   ARGV prefix now session number (id tag)*   the tags of what it knows of
-- Answer: {'ok', how many} | {'dead'} | {'stale'}. The number refuses a receive that is still on its way.
-- includes: alive returned wake
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
local entries, moved = redis.call('HGETALL', held), 0
for i = #entries - 1, 1, -2 do -- from the end: what was taken first comes first again
  local id, tag = entries[i], entries[i + 1]
  if id ~= '#' and not known[id .. ' ' .. tag] then
    if redis.call('HEXISTS', prefix .. 'jobs', id) == 1 then
      returned(prefix, id)
      redis.call('LPUSH', prefix .. 'ready:' .. string.sub(tag, 1, 1), id)
      moved = moved + 1
    end
    redis.call('HDEL', held, id)
  end
end
if moved > 0 then
  wake(prefix)
end
return { 'ok', moved }
