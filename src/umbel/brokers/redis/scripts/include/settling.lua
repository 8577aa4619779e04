-- includes: now alive wake defer returned follow post doom limiting
-- settling: a whole settle; see settle. `flows` carries out the operations on flows that it names, each answers where the
-- next one begins, and `done` when all verdicts are known: before anything that was held is let go.
local function settling(flows)
  local prefix, session, channel, n = ARGV[1], ARGV[3], ARGV[4], tonumber(ARGV[5])
  local jobs, held = prefix .. 'jobs', prefix .. 'held:' .. session
  local DONE_MARK_MS, MOST_PARKED_NAMES, buried = '120000', 1000, 0

  local function finish(id, record, ttl)
    redis.call('SET', prefix .. 'r:' .. id, record, 'NX', 'PX', ttl)
  end

  local ends, aside, releases, again = {}, {}, {}, false
  local place = {
    ['end'] = function(id, _, record)
      redis.call('PUBLISH', channel .. id, record)
      ends[#ends + 1] = id
    end,
    dead = function(id, level, record)
      if level ~= '9' then
        redis.call('HSET', prefix .. 'buried', id, level)
      end
      redis.call('ZADD', prefix .. 'dead', now, id)
      redis.call('PUBLISH', channel .. id, record)
      table.insert(aside, 1, id)
      buried = buried + 1
    end,
    retry = function(id, level, delay, more)
      local counts = redis.call('HGET', prefix .. 'counts', id)
      local doomed = doom(counts)
      if more == '-' then
        returned(prefix, id)
      elseif doomed == '' then
        doomed = doom(more)
        redis.call('HSET', prefix .. 'counts', id, more)
      else -- it stays
        redis.call('HSET', prefix .. 'counts', id, string.match(more, '^.*:') .. doomed .. '-')
      end
      if tonumber(delay) > 0 and doomed == '' then
        defer(prefix, level, id, now + tonumber(delay))
        aside[#aside + 1] = id
      else
        redis.call('RPUSH', prefix .. 'ready:' .. level, id)
        again = true
      end
    end,
    release = function(id, level)
      returned(prefix, id)
      releases[level] = releases[level] or {}
      table.insert(releases[level], 1, id)
    end,
  }
  place.park = function(id, level, task)
    local names = prefix .. 'parked'
    if redis.call('SCARD', names) >= MOST_PARKED_NAMES and redis.call('SISMEMBER', names, task) == 0 then
      finish(id, '', DONE_MARK_MS)
      return place.dead(id, level, '')
    end
    if doom(redis.call('HGET', prefix .. 'counts', id)) ~= '' then
      return place.release(id, level) -- whoever receives it ends it, whether it knows the task or not
    end
    returned(prefix, id)
    redis.call('SADD', names, task) -- the name first: what is parked is always found
    redis.call('RPUSH', prefix .. 'parked:' .. task, level .. id)
    aside[#aside + 1] = id
  end

  if not alive(prefix, session) then
    return { 'dead' }
  end
  redis.call('HDEL', prefix .. 'meta', '') -- before 7.0 a full server runs a script whose first write is of this kind
  local ids = {}
  for i = 1, n do
    ids[i] = ARGV[3 * i + 3]
  end
  local tags = redis.call('HMGET', held, unpack(ids))
  local answer, ours, seen, heads, at = { 'ok' }, {}, {}, {}, 3 * n + 6
  for i, id in ipairs(ids) do
    local text, value = ARGV[3 * i + 4], ARGV[3 * i + 5]
    local head = heads[text]
    if not head then
      head = { string.match(text, '^(%S+) (%S+) (%S+) (%d+)$') }
      heads[text] = head
    end
    local tag, kind, more = head[1], head[2], head[3]
    local mine = tags[i] == tag and not seen[id] -- the fence
    -- A job may be held twice after a cut script: it ends once, the second holder is refused here.
    local valid = mine and redis.call('HEXISTS', jobs, id) == 1
    if mine then
      seen[id] = true
      ours[#ours + 1] = id
    end
    if valid and (kind == 'end' or kind == 'dead') then
      finish(id, value, more)
    end
    for _ = 1, tonumber(head[4]) do
      local operation = ARGV[at]
      if operation == 'E' then
        if valid then
          redis.call('HSET', jobs, id, ARGV[at + 1])
        end
        at = at + 2
      elseif operation == 'J' or operation == 'O' then
        if valid then
          local job, level, due, envelope = ARGV[at + 2], ARGV[at + 3], tonumber(ARGV[at + 4]), ARGV[at + 5]
          if operation == 'J' then
            follow(ARGV[at + 1], job, level, due, envelope)
          else
            post(prefix, ARGV[at + 1], job, level, due, envelope)
          end
        end
        at = at + 6
      else
        at = flows[operation](at, valid)
      end
    end
    if valid then
      place[kind](id, string.sub(tag, 1, 1), value, more)
    end
    answer[i + 1] = valid and 1 or 0
  end

  if flows then
    flows.done()
  end
  for level, released in pairs(releases) do -- together: they come first in the order that they have here
    redis.call('LPUSH', prefix .. 'ready:' .. level, unpack(released))
    again = true
  end
  local limited, uniques, live = prefix .. 'limited', prefix .. 'uniques', prefix .. 'void:live'
  local more = #ends + #aside > 0 and redis.call('EXISTS', prefix .. 'counts', prefix .. 'notes', limited, uniques, live) > 0
  if more and redis.call('EXISTS', limited, uniques) > 0 then
    -- What ended under a limit or with a unique key gives its place to others.
    local over, limits = { unpack(ends) }, limiting(prefix)
    for _, id in ipairs(aside) do
      over[#over + 1] = id
    end
    limits.let_go(over, #ends + buried)
    limits.done(100)
  end
  if #ends > 0 then
    redis.call('HDEL', jobs, unpack(ends))
    if more then
      redis.call('HDEL', prefix .. 'counts', unpack(ends))
      redis.call('HDEL', prefix .. 'notes', unpack(ends))
      if redis.call('EXISTS', live) == 1 then
        redis.call('SREM', live, unpack(ends)) -- their void entries are garbage from now on
      end
    end
  end
  if #ours > 0 then
    redis.call('HDEL', held, unpack(ours))
  end
  if again then
    wake(prefix)
  end
  return answer
end
