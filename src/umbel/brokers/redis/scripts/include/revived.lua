-- revived: jobs of these ids are about to be here; of those that have a void entry receivers have to know. See voids.
local function revived(prefix, ids)
  for at = 1, #ids, 1000 do
    local some = { unpack(ids, at, math.min(at + 999, #ids)) }
    for i, is_void in ipairs(redis.call('SMISMEMBER', prefix .. 'void', unpack(some))) do
      if is_void == 1 then
        redis.call('SADD', prefix .. 'void:live', some[i])
      end
    end
  end
end
