-- charge: add to the counts of a job that comes back, see doom; its mark ends.
-- `of(marked)` answers how many crashes and losses to add, and the doom that it gets unless it has one.
local function charge(prefix, id, of)
  local counts = redis.call('HGET', prefix .. 'counts', id) or '0:0:0:-'
  local retries, crashes, losses, doomed, mark = string.match(counts, '^(%d+):(%d+):(%d+):(%a-)(.)$')
  local crashed, lost, doom = of(mark == 'q')
  local text = retries .. ':' .. crashes + crashed .. ':' .. losses + lost .. ':'
  redis.call('HSET', prefix .. 'counts', id, text .. (doomed ~= '' and doomed or doom or '') .. '-')
end
