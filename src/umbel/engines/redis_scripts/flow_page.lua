#!lua flags=no-writes
-- flow_page: how a flow stands, and what members of one node brought: the first `count` after number `after`.
-- KEYS[1] jobs   ARGV prefix now flow node after count
-- Answer: nil | {state, expires, ms since the node opened | -1, failed | -1, its value, (member value)*}; a value begins with
-- 1, or 0 if it is a failure
-- includes: now read
local key, more, node = ARGV[1] .. 'flow:' .. ARGV[3], ARGV[1] .. 'flow-more:' .. ARGV[3], ARGV[4]
local after, count = tonumber(ARGV[5]), tonumber(ARGV[6])
local found = redis.call('HMGET', key, 'created', 'state', 'expires', 'n:' .. node, 'o:' .. node)
if not found[1] then
  return false
end
local answer = { found[2], found[3], found[5] and math.max(0, now - found[5]) or -1, '-1', '' }
if not found[4] then
  return answer
end
local members, _, _, _, first = read(found[4])
if first ~= '-1' then
  answer[4], answer[5] = first, redis.call('HGET', key, node .. ':' .. first)
end

local function gather(numbers)
  local fields = {}
  for i, number in ipairs(numbers) do
    fields[i] = node .. ':' .. number
  end
  for i, value in ipairs(redis.call('HMGET', key, unpack(fields))) do
    if value and count > 0 then
      answer[#answer + 1] = numbers[i]
      answer[#answer + 1] = value
      count = count - 1
    end
  end
end

local at = after + 1
while count > 0 and at < members do
  local numbers = {}
  for number = at, math.min(at + math.min(count, 500), members) - 1 do
    numbers[#numbers + 1] = string.format('%d', number)
  end
  gather(numbers)
  at = at + #numbers
end
local from = string.format('(%s:%016.0f', node, math.max(after, members - 1))
while count > 0 do
  local names = redis.call('ZRANGE', more, from, '(' .. node .. ';', 'BYLEX', 'LIMIT', 0, math.min(count, 500))
  if #names == 0 then
    break
  end
  local numbers = {}
  for i, name in ipairs(names) do
    numbers[i] = string.match(name, ':0*(%d+)$')
  end
  from = '(' .. names[#names]
  gather(numbers)
end
return answer
