#!lua flags=allow-oom
-- settle_joins: a settle in which members of flows end.
-- KEYS[1] jobs   ARGV as of settle; also these operations:
--   A home flow node by         the node waits for one member more, once for each `by`
--   N home flow node member value   a member has ended; the value begins with 1, or 0 if it is a failure
--   P field text                for another node, left in the outbox of this queue
-- home is the prefix of the queue that the flow lives with. Joins are carried out together, node by node.
-- includes: settling joins
function joins.P(at, valid)
  if valid then
    redis.call('HSET', ARGV[1] .. 'outbox', ARGV[at + 1], ARGV[at + 2])
  end
  return at + 3
end

return settling(joins)
