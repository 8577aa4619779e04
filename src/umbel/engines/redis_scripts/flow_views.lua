#!lua flags=no-writes
-- flow_views: flows as they are; expired ones are left out.
-- KEYS[1] jobs   ARGV prefix now nodes(1|0) (flow)*   nodes: with the state of each node
-- Answer: per flow {id, state, created, ended | nil, plan, (node, its state)*}
local answer = {}
for i = 4, #ARGV do
  local key = ARGV[1] .. 'flow:' .. ARGV[i]
  local found = redis.call('HMGET', key, 'created', 'state', 'ended', 'plan', 'keys')
  if found[1] then
    local view = { ARGV[i], found[2], found[1], found[3], found[4] }
    if ARGV[3] == '1' then
      for _, node in ipairs(cmsgpack.unpack(found[5])) do
        view[#view + 1] = node
        view[#view + 1] = redis.call('HGET', key, 'n:' .. node)
      end
    end
    answer[#answer + 1] = view
  end
end
return answer
