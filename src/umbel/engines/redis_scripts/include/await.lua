-- includes: open
-- await: a node waits for one member more, once for each `by`.
local function await(home, flow, node, by)
  local key, field = home .. 'flow:' .. flow, 'a:' .. node .. ':' .. by
  local known = redis.call('HMGET', key, 'n:' .. node, field)
  if known[1] and not known[2] then
    local members, added, joined, failed, first, sent, jobs = read(known[1])
    local state = text_of(members, added + 1, joined, failed, first, sent, jobs)
    redis.call('HSET', key, field, 1, 'n:' .. node, state)
  end
end
