-- unvoid: these entries are about to be dropped: their ids are void no more. See voids.
local function unvoid(prefix, ids)
  for at = 1, #ids, 1000 do
    local some = { unpack(ids, at, math.min(at + 999, #ids)) }
    redis.call('SREM', prefix .. 'void', unpack(some))
    redis.call('SREM', prefix .. 'void:live', unpack(some))
  end
end
