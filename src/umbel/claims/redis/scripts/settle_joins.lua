#!lua flags=allow-oom
-- settle_joins: a settle in which members of flows end.
-- KEYS[1] holders   ARGV as of settle; its operations are:
--   A home flow node by             the node waits for one member more, once for each `by`
--   N home flow node member value   a member has ended; the value begins with 1, or 0 if it is a failure
-- home is the prefix of the queue that the flow lives with.
-- Answer: as of settle, and then the home of each flow that has jobs to be sent on, see outbox
-- includes: settling joins
local answer, seen = settling(joins), {}
for _, all in ipairs(joins.order) do
  if not seen[all.home] and redis.call('EXISTS', all.home .. 'outbox') == 1 then
    answer[#answer + 1] = all.home
  end
  seen[all.home] = true
end
return answer
