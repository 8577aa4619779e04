#!lua flags=allow-oom
-- settle_joins: a settle in which members of flows end.
-- KEYS[1] jobs   ARGV as of settle; also these operations:
--   A home flow node by         the node waits for one member more, once for each `by`
--   N home flow node member value   a member has ended; the value begins with 1, or 0 if it is a failure
--   P field text                for another node, left in the outbox of this queue
-- home is the prefix of the queue that the flow lives with. Joins are carried out together, node by node.
-- includes: settling join await
local flows, gathered, order, last = {}, {}, {}, {}

local function gather(home, flow, node)
  local name = table.concat({ home, flow, node }, ' ')
  local all = gathered[name]
  if not all or #all.members >= 500 then
    all = { home = home, flow = flow, node = node, members = {}, values = {} }
    gathered[name] = all
    order[#order + 1] = all
  end
  return all
end

function flows.A(at, valid)
  if valid then
    await(ARGV[at + 1], ARGV[at + 2], ARGV[at + 3], ARGV[at + 4])
  end
  return at + 5
end

function flows.N(at, valid)
  if valid then
    local home, flow, node = ARGV[at + 1], ARGV[at + 2], ARGV[at + 3]
    if last.flow ~= flow or last.node ~= node or last.home ~= home or #last.members >= 500 then
      last = gather(home, flow, node)
    end
    local place = #last.members + 1
    last.members[place], last.values[place] = ARGV[at + 4], ARGV[at + 5]
  end
  return at + 6
end

function flows.P(at, valid)
  if valid then
    redis.call('HSET', ARGV[1] .. 'outbox', ARGV[at + 1], ARGV[at + 2])
  end
  return at + 3
end

function flows.done()
  for _, all in ipairs(order) do
    join(all.home, all.flow, all.node, all.members, all.values)
  end
end

return settling(flows)
