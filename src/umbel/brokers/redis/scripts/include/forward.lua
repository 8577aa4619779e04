-- includes: now accept
-- forward: send the jobs of a node that has opened, chunk by chunk, at most `limit` jobs but at least one chunk. `rest` is
-- {home flow node group kind place next last}: the chunks `next` to `last` - 1 of jobs for one queue; `next` is moved on.
-- J: place is the prefix of that queue | O: its name, and the jobs are left in the outbox of the flow's home
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
      if kind == 'J' then
        accept(place, words, 1)
      else
        local posts = {}
        for i = 1, #words, 4 do
          local at = words[i + 2]
          posts[#posts + 1] = words[i]
          posts[#posts + 1] = string.format('%s %.0f %d ', words[i + 1], at < 0 and now - at or at, #place)
            .. place .. words[i + 3]
        end
        redis.call('HSET', home .. 'outbox', unpack(posts))
      end
      redis.call('HDEL', key, field)
    end
    rest[7] = rest[7] + 1
  end
  return sent
end
