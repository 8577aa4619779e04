-- includes: open
-- join: members of one node have ended; entries are (member failed value)*. Each counts once. Values and their number are
-- one write; then the node opens if it is complete and has not: a repeat after a cut does what is left.
local function join(home, flow, node, entries)
  local key = home .. 'flow:' .. flow
  local fields = { 'n:' .. node }
  for i = 1, #entries, 3 do
    fields[#fields + 1] = node .. ':' .. entries[i]
  end
  local known = redis.call('HMGET', key, unpack(fields))
  if not known[1] then
    return
  end
  local members, added, joined, failed, first, sent, jobs = read(known[1])
  if sent == '1' then
    return
  end
  local words, seen = {}, {}
  for i = 1, #entries, 3 do
    local member, field = entries[i], fields[(i + 5) / 3]
    if not known[(i + 5) / 3] and not seen[member] then
      seen[member] = true
      if tonumber(member) >= members then -- paged in their order, beside those that are known by number
        redis.call('ZADD', home .. 'flow-more:' .. flow, 0, string.format('%s:%016.0f', node, tonumber(member)))
      end
      local good = entries[i + 1] == '0'
      words[#words + 1] = field
      words[#words + 1] = (good and '1' or '0') .. (jobs == '' and '' or entries[i + 2])
      joined = joined + 1
      if not good then
        failed = failed + 1
        first = (first == '-1' or tonumber(member) < tonumber(first)) and member or first
      end
    end
  end
  local state = text_of(members, added, joined, failed, first, sent, jobs)
  if #words > 0 then
    words[#words + 1] = 'n:' .. node
    words[#words + 1] = state
    redis.call('HSET', key, unpack(words))
  end
  if joined >= members + added then
    open(home, flow, node, state)
  end
end
