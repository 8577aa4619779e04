-- returned: note that a job was handed out before, nothing charged; a mark was for the delivery that ends here.
local function returned(prefix, id)
  local counts = redis.call('HGET', prefix .. 'counts', id)
  redis.call('HSET', prefix .. 'counts', id, counts and string.sub(counts, 1, -2) .. '-' or '0:0:0:-')
end
