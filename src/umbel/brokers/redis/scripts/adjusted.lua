#!lua flags=no-writes
-- adjusted: the tasks whose limits go by what has been adjusted.
-- KEYS[1] jobs   ARGV prefix now
-- Answer: their names
return redis.call('HKEYS', ARGV[1] .. 'limits:adjusted')
