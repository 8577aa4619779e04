-- includes: now
-- post: a job for `queue`, which is on another node, into the outbox here.
local function post(prefix, queue, id, level, at, envelope)
  local text = string.format('%s %.0f %d ', level, at < 0 and now - at or at, #queue)
  redis.call('HSET', prefix .. 'outbox', id, text .. queue .. envelope)
end
