-- includes: now wake unique limit_words limit_pace limit_tending limit_noting
-- What is kept of limits. A limit L is named "<bytes of its task>:<task><key>"; a turn T is empty, or "+" and its name.
--   limits            ZSET of the limits that have jobs or an adjustment; scores are 0, so it is in the order of names
--   limit:L           HASH: pace "concurrency interval_ms burst", next (when its next start is due), held (how many);
--                     +turn -> the number of that turn, as long as jobs of it are out
--   runs:L            ZSET of the jobs that it released: score 1 when they have entered; while they are out, the number of
--                     their turn below 0, or 0 if they have none
--   line:<bytes of L>:LT   ZSET of the held jobs of one turn, <level><id> in their order
--   turns:L           ZSET of the turns that have held jobs, in the order of their turns; inf while one of theirs is out
--   holding           ZSET of all held jobs, <level><id> in their order
--   limited           HASH id -> "<place><level><retries>:<bytes of L>:LT", place: h held, o out, i entered
--   limits:due        ZSET of the limits that release jobs when it is time, by when
--   limits:idle       ZSET of limits without jobs whose next start is not due yet, by when they are as good as new
--   limits:watched    ZSET of the jobs that are out or entered or have a unique key, by when they were last looked at
--   limits:adjusted   HASH task -> pace; limits:sweeping  HASH task -> the limit up to which that has been carried out
--   limits:state      HASH: number, the last one that was given to a held job or a turn
-- limiting: the verbs that scripts move jobs with. They only note what is to be done; `flush` and `done` write it, much of it
-- together. Order of writes: a job is counted, then has its new place, then leaves its old one. A cut leaves a job that
-- is counted too often or stands in two places: it repeats, or is swept.
local function limiting(prefix, quiet)
  local LEVEL = 2 ^ 45
  local limited, holding, watched = prefix .. 'limited', prefix .. 'holding', prefix .. 'limits:watched'
  local due, state = prefix .. 'limits:due', prefix .. 'limits:state'
  local verb, met, order, number, adjusted = { unique = unique_keys(prefix), released = 0 }, {}, {}, nil, nil
  local todo
  local pace, in_pieces, add, write_text, read_text = limit_pace(), limit_words()
  local note, tend = limit_noting(prefix, quiet), nil -- tend: below, with what it needs of us

  local function next_number()
    number = (number or tonumber(redis.call('HGET', state, 'number') or 0)) + 1
    return number
  end

  local function anew()
    todo = { ready = {}, holding = {}, watched = {}, texts = {}, unheld = {}, forgotten = {}, lines = {}, left = {} }
  end

  -- What is kept of a job from now on, whatever was noted before.
  local function keep(id, text)
    add(todo.texts, id, text)
    todo.forgotten[id] = nil
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
      local key = prefix .. 'limit:' .. name
      local facts = redis.call('HMGET', key, 'pace', 'next', 'held')
      limit = {
        name = name, key = key, runs = prefix .. 'runs:' .. name, turns = prefix .. 'turns:' .. name,
        pace = pace or facts[1] or '0 0 1', next = tonumber(facts[2] or 0), held = tonumber(facts[3] or 0),
        known = facts[1] and table.concat(facts, ' '), more = 0, more_out = 0, outs = {}, numbers = {}, started = {}, ahead = {},
        runs_new = {}, runs_gone = {}, outs_new = {}, freed = {}, turns_moved = {}, turns_gone = {},
      }
      limit.is_listed = facts[1] and limit.held >= 0
      limit.held = math.max(limit.held, 0)
      met[name] = limit
      order[#order + 1] = limit
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

  -- Note the number of a turn, as it is kept, and how many of its jobs are out; not those that a cut left among them.
  local function count_out(limit, turn, number)
    local count, ids = 0, tonumber(number) and redis.call('ZRANGE', limit.runs, -number, -number, 'BYSCORE') or {}
    for _, text in ipairs(#ids > 0 and redis.call('HMGET', limited, unpack(ids)) or {}) do
      count = count + (string.sub(text or '', 1, 1) == 'o' and 1 or 0)
    end
    limit.outs[turn], limit.numbers[turn] = count, count > 0 and number or nil
    return count
  end

  -- Whether a job of the turn is out.
  local function is_out(limit, turn)
    return turn ~= '' and (limit.outs[turn] or count_out(limit, turn, redis.call('HGET', limit.key, turn))) > 0
  end

  -- Whether a job may have a place of the limit at once; if so, it has to be given it. `turn`: it is to be out, not to enter.
  function verb.has_room(limit, turn)
    limit.waits = limit.waits or redis.call('EXISTS', limit.turns)
    if limit.waits > 0 or pace.blocked(limit, not turn) or turn and is_out(limit, turn) then
      return false
    end
    pace.start(limit, (limit.burst - 1) * limit.interval)
    return true
  end

  -- A job is out.
  function verb.release(limit, turn, level, id)
    if turn ~= '' then
      if not limit.numbers[turn] then
        limit.numbers[turn] = next_number()
        add(limit.outs_new, turn, limit.numbers[turn])
      end
      limit.outs[turn] = (limit.outs[turn] or 0) + 1
    end
    add(limit.runs_new, turn == '' and 0 or -limit.numbers[turn], id)
    limit.more, limit.more_out = limit.more + 1, limit.more_out + 1
    todo.ready[level] = todo.ready[level] or {}
    table.insert(todo.ready[level], id)
    add(todo.watched, now, id)
    keep(id, write_text('o', level, 0, limit, turn))
    verb.released = verb.released + 1
  end

  -- A job is held.
  function verb.hold(limit, turn, level, id)
    local line = line_of(limit, turn)
    local words, score = todo.lines[line], level * LEVEL + next_number()
    if not words then
      words = { limit = limit, turn = turn }
      todo.lines[line] = words
    end
    add(words, score, level .. id)
    add(todo.holding, score, level .. id)
    keep(id, write_text('h', level, 0, limit, turn))
    limit.waits = 1
  end

  -- A job has entered. `text` is what was kept of it before, if it had a place.
  function verb.enter(limit, turn, level, id, retries, text)
    if not text then
      add(todo.watched, now, id)
      limit.more = limit.more + 1
    elseif string.sub(text, 1, 1) == 'o' then
      table.insert(limit.freed, turn)
      limit.more_out = limit.more_out - 1
      limit.started[turn] = (limit.started[turn] or 0) + 1
    end
    add(limit.runs_new, 1, id)
    keep(id, write_text('i', level, retries, limit, turn))
  end

  -- A job that is out or entered has no place any more.
  function verb.forget(id, text)
    local place, _, _, name, turn = read_text(text)
    local limit = verb.of(name)
    limit.more, limit.is_stirred = limit.more - 1, true
    if place == 'o' then
      table.insert(limit.freed, turn)
      limit.more_out = limit.more_out - 1
    end
    table.insert(limit.runs_gone, id)
    todo.forgotten[id] = true
  end

  -- A held job is not out, as a cut has it.
  function verb.uncount(id, text)
    local _, _, _, name = read_text(text)
    table.insert(verb.of(name).runs_gone, id)
  end

  -- A held job leaves its line; `score` is where its turn stands then, if it is to move; `rest` whether it has more of them,
  -- if that is known.
  local function leave_line(limit, turn, member, score, rest)
    local line = line_of(limit, turn)
    local words = todo.left[line]
    if not words then
      words = { limit = limit, turn = turn }
      todo.left[line] = words
    end
    words[#words + 1] = member
    words.score, words.rest = score, rest
    table.insert(todo.unheld, member)
  end

  -- A held job has been given to somebody.
  function verb.unhold(id, text)
    local _, level, _, name, turn = read_text(text)
    leave_line(verb.of(name), turn, level .. id)
    todo.forgotten[id] = true
  end

  verb.read = read_text

  -- The next of these turns may follow: if none of their jobs is out any more.
  local function free(limit)
    local turns, met_here, scores, gone = {}, { [''] = true }, {}, {}
    for _, turn in ipairs(limit.freed) do
      turns[#turns + 1] = not met_here[turn] and turn or nil
      met_here[turn] = true
    end
    for i, number in ipairs(#turns > 0 and redis.call('HMGET', limit.key, unpack(turns)) or {}) do
      if count_out(limit, turns[i], number) == 0 then
        add(scores, next_number(), turns[i])
        gone[#gone + 1] = turns[i]
      elseif limit.started[turns[i]] then
        table.insert(limit.ahead, turns[i])
      end
    end
    if #gone > 0 then
      redis.call('ZADD', limit.turns, 'XX', unpack(scores))
      redis.call('HDEL', limit.key, unpack(gone))
    end
    limit.freed = {}
  end

  local function write_runs(limit)
    in_pieces('ZREM', limit.runs, limit.runs_gone)
    if #limit.runs_new > 0 then
      in_pieces('HSET', limit.key, limit.outs_new)
      in_pieces('ZADD', limit.runs, limit.runs_new)
      limit.has_runs = true
    end
    if #limit.runs_new + #limit.runs_gone > 0 then
      limit.base, limit.base_out, limit.more, limit.more_out = nil, nil, 0, 0
      limit.runs_new, limit.runs_gone, limit.outs_new = {}, {}, {}
    end
  end

  local function write_places()
    in_pieces('ZADD', watched, todo.watched)
    for level, ids in pairs(todo.ready) do
      in_pieces('RPUSH', prefix .. 'ready:' .. level, ids)
    end
    for line, words in pairs(todo.lines) do
      words.limit.held = words.limit.held + in_pieces('ZADD', line, words)
    end
    in_pieces('ZADD', holding, todo.holding)
    in_pieces('HSET', limited, todo.texts)
    for _, words in pairs(todo.lines) do
      local turns = words.limit.turns
      if not redis.call('ZSCORE', turns, words.turn) then
        redis.call('ZADD', turns, is_out(words.limit, words.turn) and 'inf' or next_number(), words.turn)
      end
    end
  end

  local function leave_places()
    in_pieces('ZREM', holding, todo.unheld)
    for line, words in pairs(todo.left) do
      local limit = words.limit
      limit.held = limit.held - in_pieces('ZREM', line, words)
      if words.rest == nil then
        words.rest = redis.call('EXISTS', line) == 1
      end
      if not words.rest then
        table.insert(limit.turns_gone, words.turn)
      elseif words.score then
        add(limit.turns_moved, words.score, words.turn)
      end
    end
    for _, limit in ipairs(order) do
      if #limit.turns_moved + #limit.turns_gone > 0 then
        in_pieces('ZADD', limit.turns, limit.turns_moved)
        in_pieces('ZREM', limit.turns, limit.turns_gone)
        limit.turns_moved, limit.turns_gone = {}, {}
      end
    end
    local gone = {}
    for id in pairs(todo.forgotten) do
      gone[#gone + 1] = id
    end
    in_pieces('HDEL', limited, gone)
    in_pieces('ZREM', watched, gone)
  end

  -- Write what was noted so far.
  function verb.flush()
    for _, limit in ipairs(order) do
      if limit.is_stirred and #limit.runs_gone > 0 then
        redis.call('ZADD', due, now, limit.name) -- until it has been tended
      end
      write_runs(limit)
      free(limit)
    end
    write_places()
    leave_places()
    anew()
  end

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

  -- Release, at most `budget` jobs, what the limits allow that were met; answers how many.
  function verb.done(budget)
    verb.flush()
    for _, limit in ipairs(order) do
      if limit.waits ~= 0 then
        limit.again = tend(limit, budget)
      end
    end
    verb.flush()
    for _, limit in ipairs(order) do
      note(limit)
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
      verb.of(name).is_stirred = true
    end
    return verb.done(budget)
  end

  anew()
  tend = limit_tending(prefix, verb, pace, next_number, line_of, leave_line)
  return verb
end
