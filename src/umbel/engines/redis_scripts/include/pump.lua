-- includes: forward
-- pump: send on what nodes that have opened have left in a list, `opening` or `posting`: about `limit` jobs; answers how
-- many. A cut leaves the entry as it was, and its chunks that were sent are missing.
local function pump(list, limit)
  local sent = 0
  while sent < limit do
    local entry = redis.call('LINDEX', list, 0)
    if not entry then
      break
    end
    local rest = cmsgpack.unpack(entry)
    sent = sent + forward(rest, limit - sent)
    if rest[7] < rest[8] then
      redis.call('LSET', list, 0, cmsgpack.pack(rest))
    else
      redis.call('LTRIM', list, 1, -1)
    end
  end
  return sent
end
