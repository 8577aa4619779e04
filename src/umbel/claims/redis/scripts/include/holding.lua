-- includes: alive keep
-- holding: keep with each job, in a field of its hash, what its holder gives; answers per item 1, or 0 if he is not its holder.
local function holding(field)
  local prefix, session, answer = ARGV[1], ARGV[3], {}
  local open = alive(prefix, session)
  redis.call('HDEL', prefix .. 'meta', '') -- before 7.0 a full server runs a script whose first write is of this kind
  for i = 4, #ARGV, 3 do
    local id = ARGV[i]
    local ours = open and redis.call('HGET', KEYS[1], id) == session .. ':' .. ARGV[i + 1]
    if ours then
      keep(prefix, id, 0, field, ARGV[i + 2])
    end
    answer[#answer + 1] = ours and 1 or 0
  end
  return answer
end
