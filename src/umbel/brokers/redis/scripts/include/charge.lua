-- charge: add to the counters "retries:crashes:losses:mark" of a job that comes back; its mark ends.
-- `of(marked)` answers how many crashes and losses to add.
local function charge(prefix, id, of)
  local counts = redis.call('HGET', prefix .. 'counts', id) or '0:0:0:-'
  local retries, crashes, losses, mark = string.match(counts, '^(%d+):(%d+):(%d+):(.)$')
  local crashed, lost = of(mark == 'q')
  redis.call('HSET', prefix .. 'counts', id, retries .. ':' .. crashes + crashed .. ':' .. losses + lost .. ':-')
end
