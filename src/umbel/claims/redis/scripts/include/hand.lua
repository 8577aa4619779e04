-- includes: now keep
-- hand: jobs, words (id level at envelope)*, for the queue `place`, into the outbox of `home`: whoever sends it on takes
-- them in this order. W: each is watched until its end.
-- outbox HASH id -> "level at length queue envelope" | outbox:order ZSET id by number | outbox:last, the last number
local function hand(home, kind, place, words)
  local posts, order = {}, {}
  local number = redis.call('INCRBY', home .. 'outbox:last', #words / 4) - #words / 4
  for i = 1, #words, 4 do
    local id, at = words[i], tonumber(words[i + 2])
    at = at < 0 and now - at or at
    if kind == 'W' then
      keep('umbel:{' .. place .. '}:c:', id, math.max(0, at - now), 'watched', '1')
    end
    posts[#posts + 1] = id
    posts[#posts + 1] = string.format('%s %.0f %d ', words[i + 1], at, #place) .. place .. words[i + 3]
    number = number + 1
    order[#order + 1] = number
    order[#order + 1] = id
  end
  redis.call('HSET', home .. 'outbox', unpack(posts))
  redis.call('ZADD', home .. 'outbox:order', 'NX', unpack(order))
end
