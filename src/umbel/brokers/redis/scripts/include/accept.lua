-- includes: now wake revived
-- accept: jobs that are new, words[first …] are (id level at envelope)*; answers how many were.
-- Place first, envelope second: a job in `jobs` always has a place.
local function accept(prefix, words, first)
  local jobs = prefix .. 'jobs'
  local ids, records = {}, {}
  for i = first, #words, 4 do
    ids[#ids + 1] = words[i]
    records[#records + 1] = prefix .. 'r:' .. words[i]
  end
  local known = redis.call('HMGET', jobs, unpack(ids))
  local there, some_void = redis.call('EXISTS', prefix .. 'void', unpack(records)), false
  if there > 0 then
    some_void = redis.call('EXISTS', prefix .. 'void') == 1
  end
  local some_ended = there > (some_void and 1 or 0)

  local envelopes, ready, delayed, soonest = {}, {}, {}, {}
  local taken = {}
  for i, id in ipairs(ids) do
    if not known[i] and not taken[id] and not (some_ended and redis.call('EXISTS', records[i]) == 1) then
      taken[id] = true
      local place = first + 4 * i - 4
      local at, level = tonumber(words[place + 2]), words[place + 1]
      if at < 0 then
        at = now - at
      end
      if at > now then
        delayed[#delayed + 1] = at
        delayed[#delayed + 1] = level .. id
        soonest[level .. id] = true
      else
        ready[level] = ready[level] or {}
        table.insert(ready[level], id)
      end
      envelopes[#envelopes + 1] = id
      envelopes[#envelopes + 1] = words[place + 3]
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
  if some_void then
    revived(prefix, ids)
  end
  redis.call('HSET', jobs, unpack(envelopes))
  if next(ready) or soonest[redis.call('ZRANGE', prefix .. 'delayed', 0, 0)[1]] then
    wake(prefix)
  end
  return #envelopes / 2
end
