-- includes: join await
-- joins: the operations on flows of a settle, A and N; each answers where the next one begins. What is joined is gathered
-- and carried out by `done`, together, node by node.
local joins, gathered, last = { order = {} }, {}, {}

local function gather(home, flow, node)
  local name = table.concat({ home, flow, node }, ' ')
  local all = gathered[name]
  if not all or #all.members >= 500 then
    all = { home = home, flow = flow, node = node, members = {}, values = {} }
    gathered[name] = all
    joins.order[#joins.order + 1] = all
  end
  return all
end

function joins.A(at, valid)
  if valid then
    await(ARGV[at + 1], ARGV[at + 2], ARGV[at + 3], ARGV[at + 4])
  end
  return at + 5
end

function joins.N(at, valid)
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

function joins.done()
  for _, all in ipairs(joins.order) do
    join(all.home, all.flow, all.node, all.members, all.values)
  end
end
