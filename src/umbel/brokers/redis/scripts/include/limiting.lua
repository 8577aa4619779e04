-- includes: now wake unique
-- What is kept of limits. A limit L is named "<bytes of its task>:<task><key>"; a turn T is empty, or "+" and its name.
--   limits            ZSET of the limits that have jobs or an adjustment; scores are 0, so it is in the order of names
--   limit:L           HASH: pace "concurrency interval_ms burst", next (when its next start is due), held (how many);
--                     +turn -> the job of that turn which is out
--   runs:L            ZSET of the jobs that it released: score 0 while they are out, 1 when they have entered
--   line:<bytes of L>:LT   ZSET of the held jobs of one turn, <level><id> in their order
--   turns:L           ZSET of the turns that have held jobs, in the order of their turns; inf while one of theirs is out
--   holding           ZSET of all held jobs, <level><id> in their order
--   limited           HASH id -> "<place><level><retries>:<bytes of L>:LT", place: h held, o out, i entered
--   limits:due        ZSET of the limits that release jobs when it is time, by when
--   limits:idle       ZSET of limits without jobs whose next start is not due yet, by when they are as good as new
--   limits:watched    ZSET of the jobs that are out or entered or have a unique key, by when they were last looked at
--   limits:adjusted   HASH task -> pace; limits:sweeping  HASH task -> the limit up to which that has been carried out
--   limits:state      HASH: number, the last one that was given to a held job or a turn
-- limiting: the verbs that scripts move jobs with. Order of writes: a job is counted, then has its new place, then leaves
-- its old one. A cut leaves a job that is counted too often or stands in two places: it repeats, or is swept.
local function limiting(prefix, quiet)
  local LATE_MS, LEVEL = 100, 2 ^ 45
  local limited, holding, watched = prefix .. 'limited', prefix .. 'holding', prefix .. 'limits:watched'
  local due, state = prefix .. 'limits:due', prefix .. 'limits:state'
  local verb, met, order, number, adjusted = { unique = unique_keys(prefix), released = 0 }, {}, {}, nil, nil
  local fresh = { lines = {}, holding = {}, limited = {} } -- held jobs that are not written yet

  local function next_number()
    number = (number or tonumber(redis.call('HGET', state, 'number') or 0)) + 1
    return number
  end

  local function in_pieces(words, write)
    for at = 1, #words, 1000 do
      write(unpack(words, at, math.min(at + 999, #words)))
    end
  end

  local function write_text(place, level, retries, limit, turn)
    return place .. level .. retries .. ':' .. #limit.name .. ':' .. limit.name .. turn
  end

  local function read_text(text)
    local place, level, retries, length, from = string.match(text, '^(%a)(%d)(%d+):(%d+):()')
    local turn = from + length
    return place, level, tonumber(retries), string.sub(text, from, turn - 1), string.sub(text, turn)
  end

  local function apply(limit)
    local length, from = string.match(limit.name, '^(%d+):()')
    local task = string.sub(limit.name, from, from + length - 1)
    if adjusted == nil then
      adjusted = redis.call('EXISTS', prefix .. 'limits:adjusted') == 1
    end
    local pace = adjusted and redis.call('HGET', prefix .. 'limits:adjusted', task)
    limit.marked = pace and #limit.name == from + length - 1
    local most, interval, burst = string.match(pace or limit.pace, '^(%S+) (%S+) (%S+)$')
    limit.most, limit.interval, limit.burst = tonumber(most), tonumber(interval), tonumber(burst)
    limit.next = math.min(limit.next, now + limit.interval)
  end

  -- The limit of that name; a pace is what its jobs say by now.
  function verb.of(name, pace)
    local limit = met[name]
    if not limit then
      limit = { name = name, key = prefix .. 'limit:' .. name }
      limit.runs, limit.turns = prefix .. 'runs:' .. name, prefix .. 'turns:' .. name
      local facts = redis.call('HMGET', limit.key, 'pace', 'next', 'held')
      limit.pace, limit.next, limit.held = facts[1] or pace or '0 0 1', tonumber(facts[2] or 0), tonumber(facts[3] or 0)
      met[name] = limit
      order[#order + 1] = limit
      limit.pace = pace or limit.pace
      apply(limit)
    elseif pace and pace ~= limit.pace then
      limit.pace = pace
      apply(limit)
    end
    return limit
  end

  local function line_of(limit, turn)
    return prefix .. 'line:' .. #limit.name .. ':' .. limit.name .. turn
  end

  -- Why the limit releases nothing now, if so. Whoever is there to start is not ahead of anybody.
  local function blocked(limit, is_here)
    if limit.most > 0 then
      limit.taken = limit.taken or redis.call('ZCARD', limit.runs)
      if limit.taken >= limit.most then
        return 'full'
      end
    end
    if limit.interval > 0 then
      if limit.next > now then
        return 'early'
      end
      limit.out = limit.out or redis.call('ZCOUNT', limit.runs, 0, 0)
      if not is_here and limit.out >= math.max(limit.burst, LATE_MS / limit.interval) then
        return 'ahead'
      end
    end
  end

  local function count(limit, added, out)
    limit.taken = limit.taken and limit.taken + added
    limit.out = limit.out and limit.out + out
  end

  -- One may start, who is not held, or who was while the limit came late: how much of what it missed it may catch up.
  local function start(limit, slack)
    if limit.interval > 0 then
      limit.next = math.max(limit.next, now - slack) + limit.interval
    end
  end

  -- Whether a job of the turn is out.
  local function is_out(limit, turn)
    local id = turn ~= '' and redis.call('HGET', limit.key, turn)
    return id and string.sub(redis.call('HGET', limited, id) or '', 1, 1) == 'o'
  end

  -- Whether a job may have a place of the limit at once; if so, it has to be given it. `turn`: it is to be out, not to enter.
  function verb.has_room(limit, turn)
    limit.waits = limit.waits or redis.call('ZCARD', limit.turns)
    if limit.waits > 0 or blocked(limit, not turn) or turn and is_out(limit, turn) then
      return false
    end
    start(limit, (limit.burst - 1) * limit.interval)
    return true
  end

  function verb.release(limit, turn, level, id)
    local added = redis.call('ZADD', limit.runs, 0, id)
    if turn ~= '' then
      redis.call('HSET', limit.key, turn, id)
    end
    redis.call('ZADD', watched, now, id)
    redis.call('RPUSH', prefix .. 'ready:' .. level, id)
    redis.call('HSET', limited, id, write_text('o', level, 0, limit, turn))
    count(limit, added, added)
    verb.released = verb.released + 1
  end

  -- A job is held from now on: written by `flush`, together with others.
  function verb.hold(limit, turn, level, id)
    local line = line_of(limit, turn)
    local words, score = fresh.lines[line], level * LEVEL + next_number()
    if not words then
      words = { limit = limit, turn = turn }
      fresh.lines[line] = words
    end
    for _, list in ipairs({ words, fresh.holding }) do
      list[#list + 1] = score
      list[#list + 1] = level .. id
    end
    fresh.limited[#fresh.limited + 1] = id
    fresh.limited[#fresh.limited + 1] = write_text('h', level, 0, limit, turn)
    limit.waits = 1
  end

  function verb.flush()
    for line, words in pairs(fresh.lines) do
      local limit = words.limit
      in_pieces(words, function(...)
        limit.held = limit.held + redis.call('ZADD', line, ...)
      end)
    end
    in_pieces(fresh.holding, function(...)
      redis.call('ZADD', holding, ...)
    end)
    in_pieces(fresh.limited, function(...)
      redis.call('HSET', limited, ...)
    end)
    for _, words in pairs(fresh.lines) do
      local turns = words.limit.turns
      if not redis.call('ZSCORE', turns, words.turn) then
        redis.call('ZADD', turns, is_out(words.limit, words.turn) and 'inf' or next_number(), words.turn)
      end
    end
    fresh = { lines = {}, holding = {}, limited = {} }
  end

  -- A held job has another place by now; `score` is where its turn stands then, if it has more of them.
  local function leave_line(limit, turn, member, score)
    local line = line_of(limit, turn)
    redis.call('ZREM', holding, member)
    limit.held = limit.held - redis.call('ZREM', line, member)
    if redis.call('EXISTS', line) == 0 then
      redis.call('ZREM', limit.turns, turn)
    elseif score then
      redis.call('ZADD', limit.turns, score, turn)
    end
  end

  -- Release what the limit allows; answers whether it has to go on in another call.
  local function tend(limit, budget)
    while true do
      local head = redis.call('ZRANGE', limit.turns, 0, 0, 'WITHSCORES')
      limit.waits = head[1] and 1 or 0
      if not head[1] or head[2] == 'inf' then
        return nil
      end
      local why, turn = blocked(limit), head[1]
      if why == 'early' then
        return limit.next
      end
      if verb.released >= budget then
        return not why and now or nil
      end
      local member = redis.call('ZRANGE', line_of(limit, turn), 0, 0)[1]
      -- One that is counted although it is held was counted before a cut: it needs no more room.
      if why and not (member and redis.call('ZSCORE', limit.runs, string.sub(member, 2))) then
        return nil
      end
      if not member then
        redis.call('ZREM', limit.turns, turn)
      else
        local id = string.sub(member, 2)
        local text, score = redis.call('HGET', limited, id), next_number()
        -- Whatever is not held any more was left by a cut; so was what never became a job.
        if text and string.sub(text, 1, 1) == 'h' then
          if redis.call('HEXISTS', prefix .. 'jobs', id) == 1 then
            start(limit, math.max(limit.interval, LATE_MS, (limit.burst - 1) * limit.interval))
            verb.release(limit, turn, string.sub(member, 1, 1), id)
            score = turn == '' and score or 'inf'
          else
            redis.call('HDEL', limited, id)
          end
        end
        leave_line(limit, turn, member, score)
      end
    end
  end

  -- The next one of a turn may follow: a job of it is out no more.
  local function unblock(limit, turn, id)
    if turn ~= '' and redis.call('HGET', limit.key, turn) == id then
      redis.call('ZADD', limit.turns, 'XX', next_number(), turn)
      redis.call('HDEL', limit.key, turn)
    end
  end

  -- A job has entered. `text` is what was kept of it before, if it had a place.
  function verb.enter(limit, turn, level, id, retries, text)
    if text then
      unblock(limit, turn, id)
      limit.out = nil
    else
      redis.call('ZADD', watched, now, id)
    end
    redis.call('HSET', limited, id, write_text('i', level, retries, limit, turn))
    count(limit, redis.call('ZADD', limit.runs, 1, id), 0)
  end

  -- A job that is out or entered has no place any more.
  function verb.forget(id, text)
    local place, _, _, name, turn = read_text(text)
    local limit = verb.of(name)
    redis.call('ZADD', due, now, name) -- until it has been tended
    if place == 'o' then
      unblock(limit, turn, id)
    end
    redis.call('ZREM', limit.runs, id)
    redis.call('HDEL', limited, id)
    redis.call('ZREM', watched, id)
    limit.taken, limit.out = nil, nil
  end

  -- A held job is not out, as a cut has it.
  function verb.uncount(id, text)
    local _, _, _, name = read_text(text)
    redis.call('ZREM', verb.of(name).runs, id)
  end

  -- A held job has been given to somebody.
  function verb.unhold(id, text)
    local _, level, _, name, turn = read_text(text)
    leave_line(verb.of(name), turn, level .. id)
    redis.call('HDEL', limited, id)
  end

  verb.read = read_text

  -- Jobs have ended, are dead, or set aside for a time: the first `over` of them keep no unique key.
  function verb.let_go(ids, over)
    for i, text in ipairs(redis.call('HMGET', limited, unpack(ids))) do
      if text and string.sub(text, 1, 1) ~= 'h' then
        verb.forget(ids[i], text)
      end
    end
    for i, key in ipairs(over > 0 and redis.call('HMGET', prefix .. 'uniques', unpack(ids, 1, over)) or {}) do
      if key then
        verb.unique.drop(key, ids[i])
        redis.call('ZREM', watched, ids[i])
      end
    end
  end

  -- Whether a job is neither ready nor running. One that is parked was let go when it was.
  function verb.is_over(id, level)
    return redis.call('HEXISTS', prefix .. 'jobs', id) == 0
      or redis.call('ZSCORE', prefix .. 'dead', id)
      or redis.call('ZSCORE', prefix .. 'delayed', level .. id)
  end

  -- Note how the limit stands. One without jobs is forgotten when it may release as if it had never released any.
  local function note(limit, at)
    if at then
      redis.call('ZADD', due, at, limit.name)
      if not quiet and redis.call('ZRANGE', due, 0, 0)[1] == limit.name then
        wake(prefix)
      end
    else
      redis.call('ZREM', due, limit.name)
    end
    local has_jobs = limit.waits > 0 or redis.call('EXISTS', limit.runs) == 1
    local good_as_new = limit.interval > 0 and limit.next + (limit.burst - 1) * limit.interval or 0
    if has_jobs or limit.marked then
      redis.call('ZADD', prefix .. 'limits', 0, limit.name)
    else
      redis.call('ZREM', prefix .. 'limits', limit.name)
    end
    if has_jobs or good_as_new > now then
      local held = has_jobs and limit.held or 0
      redis.call('HSET', limit.key, 'pace', limit.pace, 'next', string.format('%.3f', limit.next), 'held', held)
    else
      redis.call('DEL', limit.key)
    end
    if not has_jobs and good_as_new > now then
      redis.call('ZADD', prefix .. 'limits:idle', good_as_new, limit.name)
    elseif limit.interval > 0 then
      redis.call('ZREM', prefix .. 'limits:idle', limit.name)
    end
  end

  -- Release, at most `budget` jobs, what the limits allow that were met; answers how many.
  function verb.done(budget)
    verb.flush()
    for _, limit in ipairs(order) do
      note(limit, tend(limit, budget))
    end
    if number then
      redis.call('HSET', state, 'number', number)
    end
    if verb.released > 0 and not quiet then
      wake(prefix)
    end
    return verb.released
  end

  -- Release what has fallen due.
  function verb.due(budget)
    for _, name in ipairs(redis.call('ZRANGE', due, '-inf', now, 'BYSCORE', 'LIMIT', 0, budget)) do
      verb.of(name)
    end
    return verb.done(budget)
  end

  return verb
end
