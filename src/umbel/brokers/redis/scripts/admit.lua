#!lua
-- admit: accept jobs under limits. An id that is here already, or has ended lately, is kept once.
-- KEYS[1] jobs   ARGV prefix now most (id level at envelope limit turn pace unique)*
--   most    how many jobs the queue may hold, 0: any number; dead letters do not count
--   at      as of send   limit, turn: names as of limiting; limit is empty for none   pace: see limiting
--   unique  "<kind><ms>:<key>", see unique; empty for none
-- Answer: {'ok', per job the id that stands: its own, or that of who has its key} | {'full', how many there are}
-- Order of writes: unique keys, places, envelopes: a job in `jobs` always has a place.
-- includes: now wake limiting revived
local prefix, most, WORDS = ARGV[1], tonumber(ARGV[3]), 8
local jobs, answer, new, before, holders, taken = prefix .. 'jobs', { 'ok' }, {}, {}, {}, {}
local limits = limiting(prefix)
local unique = limits.unique

local function stands(id, known, unique_word)
  if known or taken[id] or redis.call('EXISTS', prefix .. 'r:' .. id) == 1 then
    return id
  end
  if unique_word == '' then
    return nil
  end
  local key = unique.read(unique_word)
  local holder = holders[key] or unique.holder(key)
  if holder and holder ~= id then
    return holder
  end
  holders[key] = id
end

for first = 4, #ARGV, 500 * WORDS do
  local ids = {}
  for at = first, math.min(first + 499 * WORDS, #ARGV), WORDS do
    ids[#ids + 1] = ARGV[at]
  end
  local texts = redis.call('HMGET', prefix .. 'limited', unpack(ids))
  for i, known in ipairs(redis.call('HMGET', jobs, unpack(ids))) do
    local at = first + (i - 1) * WORDS
    local standing = stands(ids[i], known, ARGV[at + 7])
    answer[#answer + 1] = standing or ids[i]
    if not standing then
      taken[ids[i]] = true
      new[#new + 1] = at
      before[ids[i]] = texts[i]
    end
  end
end
if most > 0 and #new > 0 then
  local there = redis.call('HLEN', jobs) - redis.call('ZCARD', prefix .. 'dead')
  if there + #new > most then
    return { 'full', there }
  end
end
if #new == 0 then
  return answer
end

local ready, delayed, envelopes, earliest, fresh = {}, {}, {}, {}, {}
local function place(id, level, due, name, turn, pace)
  if due < 0 then
    due = now - due
  end
  if due > now then
    delayed[#delayed + 1] = due
    delayed[#delayed + 1] = level .. id
    earliest[level .. id] = true
  elseif string.sub(before[id] or '', 1, 1) == 'o' then
    return -- it was made ready before a cut
  elseif name == '' then
    ready[level] = ready[level] or {}
    table.insert(ready[level], id)
  else
    local limit = limits.of(name, pace)
    if limits.has_room(limit, turn) then
      limits.release(limit, turn, level, id)
    else
      limits.hold(limit, turn, level, id)
    end
  end
end

for _, at in ipairs(new) do
  local id, unique_word = ARGV[at], ARGV[at + 7]
  if unique_word ~= '' then
    local key, kind, ms = unique.read(unique_word)
    unique.take(key, kind, now + ms, id)
  end
  place(id, ARGV[at + 1], tonumber(ARGV[at + 2]), ARGV[at + 4], ARGV[at + 5], ARGV[at + 6])
  fresh[#fresh + 1] = id
  envelopes[#envelopes + 1] = id
  envelopes[#envelopes + 1] = ARGV[at + 3]
end
local function in_pieces(words, write)
  for at = 1, #words, 1000 do
    write(unpack(words, at, math.min(at + 999, #words)))
  end
end
for level, ids in pairs(ready) do
  in_pieces(ids, function(...)
    redis.call('RPUSH', prefix .. 'ready:' .. level, ...)
  end)
end
in_pieces(delayed, function(...)
  redis.call('ZADD', prefix .. 'delayed', ...)
end)
limits.flush()
revived(prefix, fresh)
in_pieces(envelopes, function(...)
  redis.call('HSET', jobs, ...)
end)
limits.done(500)
if next(ready) or (#delayed > 0 and earliest[redis.call('ZRANGE', prefix .. 'delayed', 0, 0)[1]]) then
  wake(prefix)
end
return answer
