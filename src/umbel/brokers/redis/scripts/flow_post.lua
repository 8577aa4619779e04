#!lua flags=allow-oom
-- flow_post: nodes that have opened go on sending to queues on other nodes of a Cluster: into the outbox, about `limit` jobs.
-- KEYS[1] jobs   ARGV prefix now limit
-- Answer: how many
-- includes: pump
local prefix = ARGV[1]
redis.call('HDEL', prefix .. 'meta', '') -- before 7.0 a full server runs a script whose first write is of this kind
return pump(prefix .. 'posting', tonumber(ARGV[3]))
