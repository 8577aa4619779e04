#!lua flags=allow-oom
-- settle_joins: a settle in which members of flows end; see settle. Also these operations:
--   A home flow node by         the node waits for one member more, once for each `by`
--   N home flow node member failed value   a member has ended; failed is 1 or 0
--   P field text                for another node, left in the outbox of this queue
-- home is the prefix of the queue that the flow lives with. Joins are carried out together, node by node.
-- includes: settling join await
local gathered, order = {}, {}
local flows = {}

local function empty_out(all)
  join(all.home, all.flow, all.node, all.entries)
  all.entries = {}
end

function flows.A(at, valid)
  if valid then
    await(ARGV[at + 1], ARGV[at + 2], ARGV[at + 3], ARGV[at + 4])
  end
  return at + 5
end

function flows.N(at, valid)
  if valid then
    local name = table.concat({ ARGV[at + 1], ARGV[at + 2], ARGV[at + 3] }, ' ')
    local all = gathered[name]
    if not all then
      all = { home = ARGV[at + 1], flow = ARGV[at + 2], node = ARGV[at + 3], entries = {} }
      gathered[name] = all
      order[#order + 1] = all
    end
    local entries = all.entries
    for i = 4, 6 do
      entries[#entries + 1] = ARGV[at + i]
    end
    if #entries >= 1500 then
      empty_out(all)
    end
  end
  return at + 7
end

function flows.P(at, valid)
  if valid then
    redis.call('HSET', ARGV[1] .. 'outbox', ARGV[at + 1], ARGV[at + 2])
  end
  return at + 3
end

function flows.done()
  for _, all in ipairs(order) do
    if #all.entries > 0 then
      empty_out(all)
    end
  end
end

return settling(flows)
