#!lua flags=no-writes
-- locate: where one job is, as far as claims tell.
-- KEYS[1] holders   ARGV prefix now id records
-- Answer: {place, retries, doom, note}; place '' for a job that nobody received yet.
local prefix, id = ARGV[1], ARGV[3]
if redis.call('ZSCORE', prefix .. 'dead', id) then
  return { 'dead', '0', '', '' }
end
if redis.call('EXISTS', ARGV[4] .. id) == 1 then
  return { 'ended', '0', '', '' }
end
local job = redis.call('HMGET', prefix .. 'j:' .. id, 'place', 'retries', 'doom', 'note')
if redis.call('HEXISTS', KEYS[1], id) == 1 then
  return { 'running', job[2] or '0', job[3] or '', job[4] or '' }
end
return { job[1] or '', job[2] or '0', job[3] or '', job[4] or '' }
