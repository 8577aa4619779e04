-- includes: now alive
-- seize: jobs that are stopped, in the hands of a session that is opened for it. Its receive number is 1.
local seize = {}

-- What an earlier call of this session, whose answer was lost, has leased: id -> tag. Nil if it is over.
function seize.before(prefix, session)
  local found, entries = {}, redis.call('HGETALL', prefix .. 'held:' .. session)
  for i = 1, #entries, 2 do
    if entries[i] ~= '#' then
      found[entries[i]] = entries[i + 1]
    end
  end
  if #entries > 0 and not alive(prefix, session) then
    return nil
  end
  return found
end

-- Doom jobs, unless they are.
function seize.doom(prefix, ids)
  local words = {}
  for i, counts in ipairs(redis.call('HMGET', prefix .. 'counts', unpack(ids))) do
    counts = counts or '0:0:0:f'
    if string.sub(counts, -2, -2) == ':' then
      words[#words + 1] = ids[i]
      words[#words + 1] = string.sub(counts, 1, -2) .. 'revoked' .. string.sub(counts, -1)
    end
  end
  if #words > 0 then
    redis.call('HSET', prefix .. 'counts', unpack(words))
  end
end

-- Doom and lease jobs, (id level)*; the caller removes them from their old places after it.
function seize.take(prefix, session, lease, jobs)
  local ids, words = {}, { '#', 1 }
  for i = 1, #jobs, 2 do
    ids[#ids + 1] = jobs[i]
    words[#words + 1] = jobs[i]
    words[#words + 1] = jobs[i + 1] .. ':1'
  end
  if #ids > 0 then
    seize.doom(prefix, ids)
    redis.call('ZADD', prefix .. 'sessions', now + lease, session)
    redis.call('HSET', prefix .. 'held:' .. session, unpack(words))
  end
end
