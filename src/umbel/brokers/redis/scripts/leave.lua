#!lua flags=allow-oom
-- leave: look after jobs under limits: the places of those that are over are given to others.
-- KEYS[1] jobs   ARGV prefix now id*
-- Answer: how many were over
-- includes: now wake limiting
local prefix, over = ARGV[1], 0
local found = redis.call('HMGET', prefix .. 'limited', unpack(ARGV, 3))
redis.call('HDEL', prefix .. 'meta', '') -- before 7.0 a full server runs a script whose first write is of this kind
local limits = limiting(prefix)
for i, text in ipairs(found) do
  local place, level = string.match(text or '', '^(%a)(%d)')
  if place and place ~= 'h' and limits.is_over(ARGV[i + 2], level) then
    limits.forget(ARGV[i + 2], text)
    over = over + 1
  end
end
limits.done(100)
return over
