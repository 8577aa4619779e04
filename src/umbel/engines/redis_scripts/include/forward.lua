-- includes: hand
-- forward: send the jobs of a node that has opened, chunk by chunk, at most `limit` jobs but at least one chunk. `rest` is
-- {home flow node group kind place next last}: the chunks `next` to `last` - 1 of jobs for one queue; `next` is moved on.
-- kind and place are for `hand`, which knows how jobs get into that queue.
-- Sent first, deleted second: a chunk that is missing was sent.
local function forward(rest, limit)
  local home, flow, node, group, kind, place = unpack(rest, 1, 6)
  local key, sent = home .. 'flow:' .. flow, 0
  while rest[7] < rest[8] and sent < limit do
    local field = string.format('j:%s:%d:%d', node, group, rest[7])
    local chunk = redis.call('HGET', key, field)
    if chunk then
      local words = cmsgpack.unpack(chunk)
      if sent > 0 and sent + #words / 4 > limit then
        return sent
      end
      sent = sent + #words / 4
      hand(home, kind, place, words)
      redis.call('HDEL', key, field)
    end
    rest[7] = rest[7] + 1
  end
  return sent
end
