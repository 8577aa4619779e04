#!lua flags=allow-oom
-- register: make names of queues known; also on a full server, where a worker must be able to start.
-- KEYS[1] queues   ARGV name*
redis.call('SREM', KEYS[1], '') -- before 7.0 a full server runs a script whose first write is of this kind
return redis.call('SADD', KEYS[1], unpack(ARGV))
