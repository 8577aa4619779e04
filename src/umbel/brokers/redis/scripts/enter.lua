#!lua flags=allow-oom
-- enter: may these deliveries of a session start?
-- KEYS[1] jobs   ARGV prefix now session (id tag doomed(1|0) retries limit turn pace unique)*   as of admit
-- Answer: per delivery "run", "held" (it is not ours any more), "lost" (nor was it before) or "taken:<who has its key>"
-- A repeat tells of a job that is held that it is held; one that has entered before enters again, unless it was retried
-- since, or stands under another limit now. Held first, let go of last: a cut leaves a job that is held in two places, and is let go of when it asks again.
-- includes: now alive wake returned doom limiting
local prefix, session, answer = ARGV[1], ARGV[3], {}
local jobs, mine = prefix .. 'jobs', prefix .. 'held:' .. session
redis.call('HDEL', prefix .. 'meta', '') -- before 7.0 a full server runs a script whose first write is of this kind
local open, limits, left = alive(prefix, session), limiting(prefix), {}
local unique = limits.unique

-- A delivery that is ours; `text` is what is kept of the job.
local function placed(id, level, retries, name, turn, pace, text)
  local place, _, before, named, turned
  if text then
    place, _, before, named, turned = limits.read(text)
  end
  if place == 'i' and retries > before or named and place ~= 'h' and name ~= '' and name ~= named then
    limits.forget(id, text)
    place = nil
  end
  if place == 'o' or place == 'i' then
    limits.enter(limits.of(named), turned, level, id, retries, text)
  elseif not place and name ~= '' then
    local limit = limits.of(name, pace)
    if limits.has_room(limit) then
      limits.enter(limit, turn, level, id, retries)
    elseif doom(redis.call('HGET', prefix .. 'counts', id)) ~= '' then
      redis.call('LPUSH', prefix .. 'ready:' .. level, id)
      wake(prefix)
      return 'held'
    else
      limits.hold(limit, turn, level, id)
      return 'held'
    end
  end
  return place == 'h' and 'held' or 'run'
end

local function verdict(at, text, tag_here)
  local id, tag, unique_word = ARGV[at], ARGV[at + 1], ARGV[at + 7]
  if not open or tag_here ~= tag or redis.call('HEXISTS', jobs, id) == 0 then
    return text and string.sub(text, 1, 1) == 'h' and 'held' or 'lost'
  end
  if ARGV[at + 2] == '1' then
    return 'run'
  end
  local obstacle = unique_word ~= '' and unique.obstacle(unique_word, id)
  if obstacle then
    return 'taken:' .. obstacle
  end
  local level, retries = string.sub(tag, 1, 1), tonumber(ARGV[at + 3])
  local said = placed(id, level, retries, ARGV[at + 4], ARGV[at + 5], ARGV[at + 6], text)
  if said == 'held' then
    returned(prefix, id)
    left[#left + 1] = id
  elseif unique_word ~= '' then
    unique.start(unique_word, id)
  end
  return said
end

local ids = {}
for at = 4, #ARGV, 8 do
  ids[#ids + 1] = ARGV[at]
end
local texts, tags = redis.call('HMGET', prefix .. 'limited', unpack(ids)), redis.call('HMGET', mine, unpack(ids))
for i in ipairs(ids) do
  answer[i] = verdict(8 * i - 4, texts[i], tags[i])
end
limits.flush()
if #left > 0 then
  redis.call('HDEL', mine, unpack(left))
end
limits.done(100)
return answer
