#!lua flags=allow-oom
-- flow_join: what was left in the outbox of another queue: members of flows of this one have ended, or are more.
-- KEYS[1] jobs   ARGV prefix now operation*
--   A flow node by                               the node waits for one member more, once for each `by`
--   N flow node count (member)*count (value)*count   members have ended; a value begins with 1, or 0 if it is a failure
-- Answer: 1 if something is to be sent on from here, see flow_post
-- includes: join await
local prefix, at = ARGV[1], 3
redis.call('HDEL', prefix .. 'meta', '') -- before 7.0 a full server runs a script whose first write is of this kind
while ARGV[at] do
  local flow, node = ARGV[at + 1], ARGV[at + 2]
  if ARGV[at] == 'A' then
    await(prefix, flow, node, ARGV[at + 3])
    at = at + 4
  else
    local count = tonumber(ARGV[at + 3])
    local values = at + 3 + count
    join(prefix, flow, node, { unpack(ARGV, at + 4, values) }, { unpack(ARGV, values + 1, values + count) })
    at = values + count + 1
  end
end
return redis.call('EXISTS', prefix .. 'outbox', prefix .. 'posting') > 0 and 1 or 0
