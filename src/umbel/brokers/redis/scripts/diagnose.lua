#!lua flags=no-writes
-- diagnose: keys of a queue that hold another type than they should; asked after an operation failed for that.
-- KEYS[1] jobs   ARGV prefix now
-- Answer: (key, its type, the type it should have)*
local prefix = ARGV[1]
local answer = {}

local function look(name, expected)
  local kind = redis.call('TYPE', prefix .. name)['ok']
  if kind ~= 'none' and kind ~= expected then
    for _, word in ipairs({ prefix .. name, kind, expected }) do
      answer[#answer + 1] = word
    end
  end
  return kind == expected
end

for level = 0, 9 do
  look('ready:' .. level, 'list')
end
for _, name in ipairs({ 'wake', 'resumed', 'opening', 'posting' }) do
  look(name, 'list')
end
for _, name in ipairs({ 'delayed', 'dead', 'flows', 'flows:over', 'holding', 'limits' }) do
  look(name, 'zset')
end
for _, name in ipairs({ 'due', 'idle', 'watched' }) do
  look('limits:' .. name, 'zset')
end
for _, name in ipairs({ 'state', 'adjusted', 'sweeping' }) do
  look('limits:' .. name, 'hash')
end
for _, name in ipairs({ 'jobs', 'counts', 'notes', 'buried', 'meta', 'info', 'outbox', 'limited', 'uniques', 'ageing' }) do
  look(name, 'hash')
end
look('void', 'set')
look('void:live', 'set')
look('paused', 'string')
if look('sessions', 'zset') then
  for _, session in ipairs(redis.call('ZRANGE', prefix .. 'sessions', 0, -1)) do
    look('held:' .. session, 'hash')
  end
end
if look('parked', 'set') then
  for _, task in ipairs(redis.call('SMEMBERS', prefix .. 'parked')) do
    look('parked:' .. task, 'list')
  end
end
return answer
