-- includes: now
-- unique: keys that one job at a time has. `unique:<key>` is the STRING "<kind><until>:<id>" of its holder, kind: q until it
-- starts, d until it has ended, t and s (has started) until that ms. `uniques` is a HASH id -> key of the holders q and d.
-- Nobody takes a key away from a job that is dead or gone: such a holder has it no more. What is left is swept (see sweep).
-- Made where it is needed: others do not pay for it.
local function unique_keys(prefix)
  local unique = {}

  function unique.name(key)
    return prefix .. 'unique:' .. key
  end

  -- Who has the key now: id, kind, until; nil if nobody has.
  function unique.holder(key)
    local text = redis.call('GET', unique.name(key))
    if not text then
      return nil
    end
    local kind, till, id = string.match(text, '^(%a)(%d+):(.*)$')
    if kind == 't' or kind == 's' then
      if tonumber(till) > now then
        return id, kind, till
      end
    elseif redis.call('HEXISTS', prefix .. 'jobs', id) == 1 and not redis.call('ZSCORE', prefix .. 'dead', id) then
      return id, kind, till
    end
  end

  -- The key in the word "<kind><ms>:<key>", its kind, for how many ms.
  function unique.read(word)
    local kind, ms, key = string.match(word, '^(%a)(%d+):(.*)$')
    return key, kind, tonumber(ms)
  end

  -- The job has the key from now on: as `kind` says, for t and s until that ms.
  function unique.take(key, kind, till, id)
    if kind == 't' or kind == 's' then -- it is forgotten some time after it is over, by whatever clock
      local text = string.format('%s%.0f:', kind, till) .. id
      redis.call('SET', unique.name(key), text, 'PX', string.format('%.0f', till - now + 60000))
      return
    end
    redis.call('ZADD', prefix .. 'limits:watched', now, id)
    redis.call('HSET', prefix .. 'uniques', id, key)
    redis.call('SET', unique.name(key), kind .. '0:' .. id)
  end

  -- The job has its key, of kind q or d, no more.
  function unique.drop(key, id)
    local text = redis.call('GET', unique.name(key))
    if text == 'd0:' .. id or text == 'q0:' .. id then
      redis.call('DEL', unique.name(key))
    end
    redis.call('HDEL', prefix .. 'uniques', id)
  end

  -- Who keeps the job from starting, if somebody does.
  function unique.obstacle(word, id)
    local key, kind = unique.read(word)
    local holder, how = unique.holder(key)
    if holder and holder ~= id and kind ~= 'q' and (kind == 'd' or how ~= 't') then
      return holder
    end
  end

  -- The job starts.
  function unique.start(word, id)
    local key, kind, ms = unique.read(word)
    if kind == 'q' then
      return unique.drop(key, id)
    end
    local holder, how, till = unique.holder(key)
    if kind == 'd' then
      if holder ~= id or how ~= 'd' then
        unique.take(key, 'd', 0, id)
      end
    elseif holder ~= id or how == 't' then
      unique.take(key, 's', holder == id and tonumber(till) or now + ms, id)
    end
  end

  return unique
end
