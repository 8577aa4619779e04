-- includes: now limit_pace
-- limit_tending: releases the jobs of a limit, turn by turn. What it is given is limiting's own.
local function limit_tending(prefix, verb, pace, next_number, line_of, leave_line)
  local limited, AHEAD = prefix .. 'limited', 16

  -- The first held jobs of some turns, as many as may be needed, and what is kept of them.
  local function first_of(limit, turns, want)
    local lines, ids = {}, {}
    for _, turn in ipairs(turns) do
      local last = turn == '' and want or limit.started[turn] and math.min(want, AHEAD) or 1
      local line = redis.call('ZRANGE', line_of(limit, turn), 0, last)
      line.at, line.is_whole = 1, #line <= last
      lines[turn] = line
      for i = 1, math.min(#line, last) do
        ids[#ids + 1] = string.sub(line[i], 2)
      end
    end
    local texts, kept = {}, #ids > 0 and redis.call('HMGET', limited, unpack(ids)) or {}
    for i, id in ipairs(ids) do
      texts[id] = kept[i]
    end
    return lines, texts
  end

  -- Release what the limit allows; answers when it has to go on, if time alone decides. What is released is written by the
  -- next flush.
  return function(limit, budget)
    local why, want = pace.blocked(limit), math.max(1, math.min(budget - verb.released, 500))
    if limit.most > 0 then
      want = math.max(1, math.min(want, limit.most - pace.taken(limit)))
    end
    if limit.interval > 0 then
      want = math.max(1, math.min(want, math.ceil(pace.most_ahead(limit) - pace.out(limit))))
    end
    local heads, queue = redis.call('ZRANGE', limit.turns, 0, want - 1, 'WITHSCORES'), {}
    for i = 1, #heads, 2 do
      queue[#queue + 1] = heads[i + 1] ~= 'inf' and heads[i] or nil
    end
    local goes_on, free_ones, at = #queue == want, #queue, 1
    for _, turn in ipairs(limit.ahead) do
      queue[#queue + 1] = turn
    end
    if not queue[1] or why == 'early' then
      return queue[1] and limit.next
    end
    local lines, texts = first_of(limit, queue, want)
    while queue[at] do
      local turn, is_ahead = queue[at], at > free_ones and queue[at] ~= ''
      local line = lines[turn]
      local member = line[line.at]
      local id = string.sub(member or '', 2)
      why = pace.blocked(limit)
      if is_ahead and not (member and pace.out(limit) < AHEAD and limit.outs[turn] < 2 * limit.started[turn]) then
        line = nil -- as many of this one are out as may be; the others go on
      elseif why == 'early' then
        return limit.next
      elseif verb.released >= budget then
        return not why and now or nil
      elseif why and not (member and redis.call('ZSCORE', limit.runs, id)) then
        return nil -- but one that is counted although it is held was counted before a cut: it needs no more room
      elseif not member then
        table.insert(limit.turns_gone, turn)
      else
        line.at = line.at + 1
        local rest = line[line.at] ~= nil or line.is_whole and false or nil
        if string.sub(texts[id] or '', 1, 1) == 'h' then
          pace.start(limit, math.max(limit.interval, pace.LATE_MS, (limit.burst - 1) * limit.interval))
          verb.release(limit, turn, string.sub(member, 1, 1), id)
          leave_line(limit, turn, member, turn == '' and next_number() or 'inf', rest)
          queue[#queue + 1] = (turn == '' or limit.started[turn]) and rest and turn or nil
        else -- it is not held any more, or never was: left by a cut
          leave_line(limit, turn, member, is_ahead and 'inf' or next_number(), rest)
          goes_on = true
        end
      end
      at = at + 1
    end
    why = goes_on and pace.blocked(limit)
    return goes_on and (why == 'early' and limit.next or not why and now) or nil
  end
end
