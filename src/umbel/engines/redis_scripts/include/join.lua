-- includes: open
-- join: members of one node have ended; a value begins with 1, or 0 if it is a failure. Each counts once. Values and their
-- number are one write; then the node opens if it is complete and has not: a repeat after a cut does what is left.
local function join(home, flow, node, names, values)
  local key, fields = home .. 'flow:' .. flow, {}
  for i, member in ipairs(names) do
    fields[i] = node .. ':' .. member
  end
  local name = 'n:' .. node
  fields[#fields + 1] = name
  local known = redis.call('HMGET', key, unpack(fields))
  local text = known[#fields]
  if not text then
    return
  end
  local members, added, joined, failed, first, sent, jobs = read(text)
  if sent == '1' then
    return
  end
  local words, seen, count = {}, {}, 0
  for i, member in ipairs(names) do
    if not known[i] and not seen[member] then
      seen[member] = true
      local number, value = tonumber(member), values[i]
      if number >= members then -- paged in their order, beside those that are known by number
        redis.call('ZADD', home .. 'flow-more:' .. flow, 0, string.format('%s:%016.0f', node, number))
      end
      if string.byte(value) == 48 then
        failed = failed + 1
        first = (first == '-1' or number < tonumber(first)) and member or first
      end
      words[count + 1], words[count + 2] = fields[i], jobs == '' and string.byte(value) == 49 and '1' or value
      count = count + 2
    end
  end
  local state = text_of(members, added, joined + count / 2, failed, first, sent, jobs)
  if count > 0 then
    words[count + 1], words[count + 2] = name, state
    redis.call('HSET', key, unpack(words))
  end
  if joined + count / 2 >= members + added then
    open(home, flow, node, state)
  end
end
