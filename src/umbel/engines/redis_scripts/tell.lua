#!lua
-- tell: append messages to a box, a STREAM of (m message, u its last ms).
-- KEYS[1] letters   ARGV prefix now ttl_ms token message*   token: of this call; it is known if the call is a repeat
-- Answer: how many were added. Messages at the head whose time is over are forgotten.
-- letters:told has the last 64 tokens. Told first, noted second: a cut repeats.
-- includes: now
local box, told, ttl, token = KEYS[1], KEYS[1] .. ':told', tonumber(ARGV[3]), ARGV[4]
if redis.call('LPOS', told, token) then
  return 0
end
for i = 5, #ARGV do
  redis.call('XADD', box, '*', 'm', ARGV[i], 'u', now + ttl)
end
redis.call('LPUSH', told, token)
redis.call('LTRIM', told, 0, 63)
repeat
  local kept
  local entries = redis.call('XRANGE', box, '-', '+', 'COUNT', 16)
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
for _, key in ipairs({ box, told }) do
  if redis.call('PTTL', key) < ttl then
    redis.call('PEXPIRE', key, ttl)
  end
end
return #ARGV - 4
