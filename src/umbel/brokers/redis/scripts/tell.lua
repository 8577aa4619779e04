#!lua
-- tell: append messages to a box, a STREAM of (m message u its last ms t token).
-- KEYS[1] letters   ARGV prefix now ttl_ms token message*   token: of this call; a repeat finds it and adds nothing
-- Answer: how many were added. Messages at the head whose time is over are forgotten.
-- includes: now
local box, ttl, token = KEYS[1], tonumber(ARGV[3]), ARGV[4]
for _, entry in ipairs(redis.call('XREVRANGE', box, '+', '-', 'COUNT', 32)) do
  if entry[2][6] == token then
    return 0
  end
end
for i = 5, #ARGV do
  redis.call('XADD', box, '*', 'm', ARGV[i], 'u', now + ttl, 't', token)
end
repeat
  local kept
  local entries = redis.call('XRANGE', box, '-', '+', 'COUNT', 100)
  for _, entry in ipairs(entries) do
    if tonumber(entry[2][4]) >= now then
      kept = entry[1]
      break
    end
  end
  if kept ~= entries[1][1] then
    local at, number = string.match(entries[#entries][1], '^(%d+)-(%d+)$')
    redis.call('XTRIM', box, 'MINID', kept or at .. '-' .. number + 1)
  end
until kept
if redis.call('PTTL', box) < ttl then
  redis.call('PEXPIRE', box, ttl)
end
return #ARGV - 4
