#!lua flags=no-writes
-- jobs: a page of the jobs of one place.
-- KEYS[1] jobs   ARGV prefix now place after limit room   after: a cursor, or empty
-- Answer: per job {id, level, envelope, cursor, counts | nil, when in ms | nil, session, task, note | nil}, about `room` bytes
-- Cursors: ready "level index" | parked "index task" | delayed, dead "ms member", held likewise | running "session id"
-- includes: levels voids
local prefix, place, after = ARGV[1], ARGV[3], ARGV[4]
local limit, room = tonumber(ARGV[5]), tonumber(ARGV[6])
local answer = {}

local function add(id, level, cursor, at, session, task)
  local envelope = redis.call('HGET', prefix .. 'jobs', id)
  if envelope then
    local counts, note = redis.call('HGET', prefix .. 'counts', id), redis.call('HGET', prefix .. 'notes', id)
    answer[#answer + 1] = { id, tonumber(level), envelope, cursor, counts, at or false, session or '', task or '', note }
    room = room - #envelope
  end
  return #answer < limit and room > 0
end

local show = {}

function show.ready()
  local first, index = string.match(after, '^(%d+) (%d+)$')
  local at = tonumber(index or 0)
  local void = redis.call('EXISTS', prefix .. 'void') == 1
  for level = tonumber(first or 0), 9 do
    while true do
      local ids = redis.call('LRANGE', levels[level + 1], at, at + 99)
      if #ids == 0 then
        break
      end
      local skipped = void and voids(prefix, ids) or {}
      for i, id in ipairs(ids) do
        at = at + 1
        if not skipped[i] and not add(id, level, level .. ' ' .. at) then
          return
        end
      end
    end
    at = 0
  end
end

local function in_order(key, described, timeless)
  local score, member = string.match(after, '^(%S+) (.*)$')
  local rank = member and redis.call('ZRANK', key, member)
  local at = rank and rank + 1 or score and redis.call('ZCOUNT', key, '-inf', '(' .. score) or 0
  while true do
    local found = redis.call('ZRANGE', key, at, at + 99, 'WITHSCORES')
    for i = 1, #found, 2 do
      local id, level = described(found[i])
      if not add(id, level, found[i + 1] .. ' ' .. found[i], not timeless and found[i + 1]) then
        return
      end
    end
    if #found == 0 then
      return
    end
    at = at + #found / 2
  end
end

local function apart(member)
  return string.sub(member, 2), string.sub(member, 1, 1)
end

function show.delayed()
  in_order(prefix .. 'delayed', apart)
end

function show.held()
  in_order(prefix .. 'holding', apart, true)
end

function show.dead()
  in_order(prefix .. 'dead', function(id)
    return id, redis.call('HGET', prefix .. 'buried', id) or 9
  end)
end

function show.running()
  local from, last = string.match(after, '^(%S+) (.*)$')
  local sessions = redis.call('ZRANGE', prefix .. 'sessions', 0, -1)
  table.sort(sessions)
  for _, session in ipairs(sessions) do
    if not from or session >= from then
      local ids, tags, entries = {}, {}, redis.call('HGETALL', prefix .. 'held:' .. session)
      for i = 1, #entries, 2 do
        if entries[i] ~= '#' and not (session == from and entries[i] <= last) then
          ids[#ids + 1] = entries[i]
          tags[entries[i]] = entries[i + 1]
        end
      end
      table.sort(ids)
      for _, id in ipairs(ids) do
        if not add(id, string.sub(tags[id], 1, 1), session .. ' ' .. id, nil, session) then
          return
        end
      end
    end
  end
end

function show.parked()
  local index, from = string.match(after, '^(%d+) (.*)$')
  local names = redis.call('SMEMBERS', prefix .. 'parked')
  table.sort(names)
  for _, task in ipairs(names) do
    if not from or task >= from then
      local at = task == from and tonumber(index) or 0
      while true do
        local members = redis.call('LRANGE', prefix .. 'parked:' .. task, at, at + 99)
        if #members == 0 then
          break
        end
        for _, member in ipairs(members) do
          at = at + 1
          if not add(string.sub(member, 2), string.sub(member, 1, 1), at .. ' ' .. task, nil, nil, task) then
            return
          end
        end
      end
    end
  end
end

show[place]()
return answer
