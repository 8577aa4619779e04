#!lua flags=allow-oom
-- purge: doom and lease jobs that wait to a new session, which is opened here: ready, delayed, held and parked ones.
-- KEYS[1] jobs   ARGV prefix now session lease want room known   known: how many jobs the session knows to have
-- Answer: {'ok', -1, (id level envelope counts|nil)*}, about `room` bytes | {'dead'}
-- If the session has more than it knows an answer was lost: it is told all of them, and nothing more is taken then.
-- Order of writes: doom, lease, old places. A cut leaves a doomed job where it was too: it ends once.
-- includes: seize levels voids unvoid limiting
local prefix, session, lease = ARGV[1], ARGV[3], tonumber(ARGV[4])
local want, room = tonumber(ARGV[5]), tonumber(ARGV[6])
local before = seize.before(prefix, session)
if not before then
  return { 'dead' }
end
local answer, taken = { 'ok', -1 }, {}

-- Whether there is room for one more after it.
local function take(id, level, envelope, counts)
  local at = #answer
  answer[at + 1], answer[at + 2], answer[at + 3], answer[at + 4] = id, tonumber(level), envelope, counts
  taken[#taken + 1] = id
  taken[#taken + 1] = level
  want, room = want - 1, room - #envelope
  return want > 0 and room > 0
end

-- Take jobs; answers how many of these entries are done with.
local function take_all(ids, level_of, skipped)
  local envelopes = redis.call('HMGET', prefix .. 'jobs', unpack(ids))
  local counts = redis.call('HMGET', prefix .. 'counts', unpack(ids))
  for i, id in ipairs(ids) do
    if envelopes[i] and not skipped[i] and not take(id, level_of(i), envelopes[i], counts[i]) then
      return i
    end
  end
  return #ids
end

local ids = {}
for id in pairs(before) do
  ids[#ids + 1] = id
end
if #ids > tonumber(ARGV[7]) then
  want, room = math.huge, math.huge
  take_all(ids, function(i)
    return string.sub(before[ids[i]], 1, 1)
  end, {})
  return answer
end

local void = redis.call('EXISTS', prefix .. 'void') == 1
local dropped, looked = {}, {}
for level = 0, 9 do
  local list, at = levels[level + 1], 0
  while want > 0 and room > 0 do
    local entries = redis.call('LRANGE', list, at, at + math.min(want, 100) - 1)
    if #entries == 0 then
      break
    end
    local skipped = void and voids(prefix, entries) or {}
    local done = take_all(entries, function()
      return level
    end, skipped)
    at = at + done
    for i = 1, done do
      dropped[#dropped + 1] = skipped[i] and entries[i] or nil
    end
  end
  looked[level + 1] = at
end

local function members_of(members)
  local found = {}
  for i, member in ipairs(members) do
    found[i] = string.sub(member, 2)
  end
  return found, function(i)
    return string.sub(members[i], 1, 1)
  end
end

local parked = {}
local function take_first(key)
  local gone = {}
  while want > 0 and room > 0 do
    local members = redis.call('ZRANGE', key, #gone, #gone + math.min(want, 100) - 1)
    if #members == 0 then
      break
    end
    local names, level_of = members_of(members)
    for i = 1, take_all(names, level_of, {}) do
      gone[#gone + 1] = members[i]
    end
  end
  return gone
end

local due, limited = take_first(prefix .. 'delayed'), take_first(prefix .. 'holding')
for _, task in ipairs(redis.call('SMEMBERS', prefix .. 'parked')) do
  local list = prefix .. 'parked:' .. task
  local at = 0
  while want > 0 and room > 0 do
    local members = redis.call('LRANGE', list, at, at + math.min(want, 100) - 1)
    if #members == 0 then
      break
    end
    local names, level_of = members_of(members)
    at = at + take_all(names, level_of, {})
  end
  parked[list] = at
end

redis.call('HDEL', prefix .. 'meta', '') -- before 7.0 a full server runs a script whose first write is of this kind
seize.take(prefix, session, lease, taken)
unvoid(prefix, dropped)
for level, at in ipairs(looked) do
  if at > 0 then
    redis.call('LTRIM', levels[level], at, -1)
  end
end
if #due > 0 then
  redis.call('ZREM', prefix .. 'delayed', unpack(due))
end
if #limited > 0 then
  local limits = limiting(prefix)
  for _, member in ipairs(limited) do
    local id = string.sub(member, 2)
    local text = redis.call('HGET', prefix .. 'limited', id)
    if text and string.sub(text, 1, 1) == 'h' then
      limits.unhold(id, text)
    else -- left by a cut
      redis.call('ZREM', prefix .. 'holding', member)
    end
  end
  limits.done(100)
end
for list, at in pairs(parked) do
  if at > 0 then
    redis.call('LTRIM', list, at, -1)
  end
end
return answer
