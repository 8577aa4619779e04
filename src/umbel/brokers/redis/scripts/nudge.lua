#!lua flags=allow-oom
-- nudge: a receiver that waited here has left, perhaps with a token that was meant for another: leave one more.
-- KEYS[1] jobs   ARGV prefix now
-- Answer: 1
-- includes: wake
redis.call('HDEL', ARGV[1] .. 'meta', '') -- before 7.0 a full server runs a script whose first write is of this kind
wake(ARGV[1])
return 1
