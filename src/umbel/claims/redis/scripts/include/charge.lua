-- includes: returned
-- charge: add to the counters of a job that comes back; its mark ends.
-- `of(marked)` answers how many crashes and losses to add, and the doom that it gets unless it has one.
local function charge(prefix, id, of)
  local job = prefix .. 'j:' .. id
  local crashed, lost, doom = of(redis.call('HGET', job, 'marked') == '1')
  returned(prefix, id)
  redis.call('HINCRBY', job, 'crashes', crashed)
  redis.call('HINCRBY', job, 'losses', lost)
  if doom and doom ~= '' then
    redis.call('HSETNX', job, 'doom', doom)
  end
end
