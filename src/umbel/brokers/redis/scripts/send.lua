#!lua
-- send: accept jobs. An id that is here already, or has ended lately, is kept once.
-- KEYS[1] jobs   ARGV prefix now (id level at envelope)*   at: 0 ready, > 0 due at that ms, < 0 due in -at ms
-- Answer: how many were new. Place first, envelope second: a job in `jobs` always has a place.
-- includes: now wake
local prefix = ARGV[1]
local jobs = prefix .. 'jobs'
local ids, records = {}, {}
for i = 3, #ARGV, 4 do
  ids[#ids + 1] = ARGV[i]
  records[#records + 1] = prefix .. 'r:' .. ARGV[i]
end
local known = redis.call('HMGET', jobs, unpack(ids))
local some_ended = redis.call('EXISTS', unpack(records)) > 0

local envelopes, ready, delayed, first = {}, {}, {}, {}
local taken = {}
for i, id in ipairs(ids) do
  if not known[i] and not taken[id] and not (some_ended and redis.call('EXISTS', records[i]) == 1) then
    taken[id] = true
    local at, level = tonumber(ARGV[4 * i + 1]), ARGV[4 * i]
    if at < 0 then
      at = now - at
    end
    if at > now then
      delayed[#delayed + 1] = at
      delayed[#delayed + 1] = level .. id
      first[level .. id] = true
    else
      ready[level] = ready[level] or {}
      table.insert(ready[level], id)
    end
    envelopes[#envelopes + 1] = id
    envelopes[#envelopes + 1] = ARGV[4 * i + 2]
  end
end

if #envelopes == 0 then
  return 0
end
for level, new in pairs(ready) do
  redis.call('RPUSH', prefix .. 'ready:' .. level, unpack(new))
end
if #delayed > 0 then
  redis.call('ZADD', prefix .. 'delayed', unpack(delayed))
end
redis.call('HSET', jobs, unpack(envelopes))
if next(ready) or first[redis.call('ZRANGE', prefix .. 'delayed', 0, 0)[1]] then
  wake(prefix)
end
return #envelopes / 2
