-- includes: now
-- limit_pace: whether a limit releases jobs now, by what is out and in, as it is kept and as it has been noted.
local function limit_pace()
  local pace = { LATE_MS = 100 }

  -- How many are out or in; how many are out.
  function pace.taken(limit)
    limit.base = limit.base or redis.call('ZCARD', limit.runs)
    return limit.base + limit.more
  end

  function pace.out(limit)
    limit.base_out = limit.base_out or redis.call('ZCOUNT', limit.runs, '-inf', 0)
    return limit.base_out + limit.more_out
  end

  function pace.most_ahead(limit)
    return math.max(limit.burst, pace.LATE_MS / limit.interval)
  end

  -- Why the limit releases nothing now, if so. Whoever is there to start is not ahead of anybody.
  function pace.blocked(limit, is_here)
    if limit.most > 0 and pace.taken(limit) >= limit.most then
      return 'full'
    end
    if limit.interval > 0 then
      if limit.next > now then
        return 'early'
      end
      if not is_here and pace.out(limit) >= pace.most_ahead(limit) then
        return 'ahead'
      end
    end
  end

  -- One may start, who is not held, or who was while the limit came late: how much of what it missed it may catch up.
  function pace.start(limit, slack)
    if limit.interval > 0 then
      limit.next = math.max(limit.next, now - slack) + limit.interval
    end
  end

  return pace
end
