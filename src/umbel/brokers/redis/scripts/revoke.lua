#!lua flags=allow-oom
-- revoke: doom jobs; those that wait are leased to a new session, which is opened here.
-- KEYS[1] jobs   ARGV prefix now session lease id*
-- Answer: {'ok', per id: its place, and (level envelope counts|nil) if the session has it now} | {'dead'}
-- A repeat answers once more what the session has, as running.
-- A job that is neither held nor delayed nor parked is ready. Its level is looked for among the first 1,000 of each level
-- but the longest, which is taken otherwise: it only tells where a doomed job goes if the session lapses.
-- Order of writes: doom, lease, old place. A cut leaves a doomed job where it was too: it ends once.
-- includes: seize levels limiting
local prefix, session, lease = ARGV[1], ARGV[3], tonumber(ARGV[4])
local ids = { unpack(ARGV, 5) }
local before = seize.before(prefix, session)
if not before then
  return { 'dead' }
end
local envelopes, places, tags, doomed, late, parked, limited = {}, {}, {}, {}, {}, {}, {}

local function put(id, place, level)
  if not places[id] then
    places[id], tags[id] = place, level
  end
end

for i, envelope in ipairs(redis.call('HMGET', prefix .. 'jobs', unpack(ids))) do
  envelopes[ids[i]] = envelope
  if not envelope then
    put(ids[i], redis.call('EXISTS', prefix .. 'r:' .. ids[i]) == 1 and 'ended' or 'unknown')
  end
end
for i, score in ipairs(redis.call('ZMSCORE', prefix .. 'dead', unpack(ids))) do
  if score then
    put(ids[i], 'dead')
  end
end
for _, other in ipairs(redis.call('ZRANGE', prefix .. 'sessions', 0, -1)) do
  for i, tag in ipairs(redis.call('HMGET', prefix .. 'held:' .. other, unpack(ids))) do
    if tag and other == session then
      put(ids[i], 'running', string.sub(tag, 1, 1))
    elseif tag and not places[ids[i]] then
      put(ids[i], 'running')
      doomed[#doomed + 1] = ids[i]
    end
  end
end
if redis.call('EXISTS', prefix .. 'delayed') == 1 then
  for level = 0, 9 do
    local members = {}
    for i, id in ipairs(ids) do
      members[i] = level .. id
    end
    for i, due in ipairs(redis.call('ZMSCORE', prefix .. 'delayed', unpack(members))) do
      if due and (not places[ids[i]] or before[ids[i]]) then
        put(ids[i], 'delayed', level)
        late[#late + 1] = members[i]
      end
    end
  end
end
if redis.call('EXISTS', prefix .. 'holding') == 1 then
  for i, text in ipairs(redis.call('HMGET', prefix .. 'limited', unpack(ids))) do
    local place, level = string.match(text or '', '^(%a)(%d)')
    if place == 'h' and envelopes[ids[i]] and (not places[ids[i]] or before[ids[i]]) then
      put(ids[i], 'held', level)
      limited[#limited + 1] = { ids[i], text }
    end
  end
end
for _, task in ipairs(redis.call('SMEMBERS', prefix .. 'parked')) do
  local at = 0
  repeat
    local members = redis.call('LRANGE', prefix .. 'parked:' .. task, at, at + 999)
    for _, member in ipairs(members) do
      local id = string.sub(member, 2)
      if envelopes[id] and (not places[id] or before[id]) then
        put(id, 'parked', string.sub(member, 1, 1))
        parked[#parked + 1] = { prefix .. 'parked:' .. task, member }
      end
    end
    at = at + #members
  until #members == 0
end

local known_levels
local entries = 0 -- in all ready lists, before any limit released more; counted with their levels
local function level_of(id)
  if not known_levels then
    known_levels = {}
    local longest, most, lengths = 9, -1, {}
    for level = 0, 9 do
      local length = redis.call('LLEN', levels[level + 1])
      entries, lengths[level] = entries + length, length
      if length >= most then
        longest, most = level, length
      end
    end
    for level = 0, 9 do
      local looked_at = level ~= longest and lengths[level] > 0
      for _, each in ipairs(looked_at and redis.call('LRANGE', levels[level + 1], 0, 999) or {}) do
        known_levels[each] = level
      end
    end
    known_levels['#'] = longest
  end
  return known_levels[id] or known_levels['#']
end

local taken, ready = {}, {}
for _, id in ipairs(ids) do
  if not places[id] then
    put(id, 'ready', level_of(id))
    ready[#ready + 1] = id
  end
  local level = tags[id]
  if level and not before[id] then
    before[id] = level
    taken[#taken + 1] = id
    taken[#taken + 1] = level
  end
end

redis.call('HDEL', prefix .. 'meta', '') -- before 7.0 a full server runs a script whose first write is of this kind
if #doomed > 0 then
  seize.doom(prefix, doomed)
end
local answer = { 'ok' }
local counts = redis.call('HMGET', prefix .. 'counts', unpack(ids))
seize.take(prefix, session, lease, taken)
if #late > 0 then
  redis.call('ZREM', prefix .. 'delayed', unpack(late))
end
for _, each in ipairs(parked) do
  redis.call('LREM', each[1], 1, each[2])
end
if #limited > 0 then
  local limits = limiting(prefix)
  for _, each in ipairs(limited) do
    limits.unhold(each[1], each[2])
  end
  limits.done(100)
end
if #ready > 0 then
  local again = {}
  for i, is_void in ipairs(redis.call('SMISMEMBER', prefix .. 'void:live', unpack(ready))) do
    again[i] = is_void == 1
  end
  redis.call('SADD', prefix .. 'void:live', unpack(ready))
  redis.call('SADD', prefix .. 'void', unpack(ready))
  for i, id in ipairs(ready) do
    if again[i] then -- one void entry at most: this one is looked for
      local removed = redis.call('LREM', levels[tags[id] + 1], -1, id)
      for other = 1, removed == 0 and 10 or 0 do
        removed = redis.call('LREM', levels[other], -1, id)
        if removed == 1 then
          break
        end
      end
      entries = entries - removed
    end
  end
  local void = redis.call('SCARD', prefix .. 'void')
  if entries <= void then
    entries = 0
    for _, list in ipairs(levels) do
      entries = entries + redis.call('LLEN', list)
    end
    if entries == void then -- nothing else is left
      redis.call('DEL', prefix .. 'void', prefix .. 'void:live')
      redis.call('UNLINK', unpack(levels))
    end
  end
end

for i, id in ipairs(ids) do
  local level = tags[id]
  answer[#answer + 1] = level and { places[id], tonumber(level), envelopes[id], counts[i] } or { places[id] }
end
return answer
