#!lua flags=allow-oom
-- reconcile: give back what a session holds here but does not know of, uncharged, to the front.
-- KEYS[1] a key of the queue   ARGV prefix now session number (id tag)*   the tags of what it knows of
-- Answer: {'ok', how many, id*} | {'dead'} | {'stale'}. The number refuses a receive that is still on its way.
-- includes: alive returned back
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
local entries, answer = redis.call('HGETALL', held), { 'ok', 0 }
for i = #entries - 1, 1, -2 do -- from the end: what was taken first comes first again
  local id, tag = entries[i], entries[i + 1]
  if id ~= '#' and not known[id .. ' ' .. tag] then
    if back.is_there(prefix, id) then
      returned(prefix, id)
      back.one(prefix, id, tag)
      answer[2] = answer[2] + 1
      answer[#answer + 1] = id
    end
    redis.call('HDEL', held, id)
  end
end
back.all(prefix, answer[2])
return answer
