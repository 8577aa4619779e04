#!lua flags=allow-oom
-- claim: lease jobs to a session, each asked for by a message of a generation.
-- KEYS[1] holders   ARGV prefix now session number records (id generation copy(1|0))*
--   records  what the keys of terminal records begin with
-- Answer: {'ok', per message: verdict, more*} | {'dead'} | {'stale'} | {'paused'}: nothing is leased now; 'more' for 'ok': somebody should send on the outbox here
--   'ours' retries crashes losses marked returned doom envelope (nothing, if it neither came back nor is doomed or amended) | 'held' ms | 'over' parcel
-- A job that this session has already is leased again: whoever asks does not know of it.
-- includes: now alive keep
local prefix, session, number, records = ARGV[1], ARGV[3], ARGV[4], ARGV[5]
local holders, held = prefix .. 'holders', prefix .. 'held:' .. session
if not alive(prefix, session) then
  return { 'dead' }
end
if tonumber(number) <= tonumber(redis.call('HGET', held, '#') or 0) then
  return { 'stale' }
end
redis.call('HDEL', prefix .. 'meta', '') -- before 7.0 a full server runs a script whose first write is of this kind
redis.call('HSET', held, '#', number)
if #ARGV > 5 and redis.call('EXISTS', prefix .. 'paused') == 1 then
  return { 'paused' }
end
local answer = { 'ok' }
if redis.call('EXISTS', prefix .. 'outbox', prefix .. 'posting') > 0 then
  local till = redis.call('HGET', prefix .. 'outbox:sender', 'until')
  answer[1] = tonumber(till or 0) <= now and 'more' or 'ok'
end

local function over(id)
  return { 'over', redis.call('GET', prefix .. 'parcel:' .. id) or '' }
end

local function other(id)
  local holder = redis.call('HGET', holders, id)
  local name = holder and string.match(holder, '^(.-):')
  return name ~= session and name
end

local function claim(id, generation, copy)
  if redis.call('EXISTS', records .. id) == 1 then
    return over(id)
  end
  local job = prefix .. 'j:' .. id
  local known = redis.call('HGET', job, 'generation')
  if known and tonumber(known) > tonumber(generation) then
    return over(id)
  end
  if copy == '1' then
    keep(prefix, id, 0, 'copies', '1')
  end
  local name = other(id)
  if name then
    keep(prefix, id, 0, 'copies', '1') -- two messages: the mark of its end is kept for longer
    return { 'held', math.max(0, tonumber(redis.call('ZSCORE', prefix .. 'sessions', name) or 0) - now) }
  end
  redis.call('HSET', holders, id, session .. ':' .. number)
  redis.call('HSET', held, id, number)
  local counts = redis.call('HMGET', job, 'retries', 'crashes', 'losses', 'marked', 'place', 'doom', 'envelope')
  if not counts[5] and not counts[6] and not counts[7] then
    return { 'ours' }
  end
  local returned = counts[5] and '1' or '0'
  if counts[5] then
    redis.call('HSET', job, 'place', 'ready')
  end
  return {
    'ours', counts[1] or '0', counts[2] or '0', counts[3] or '0', counts[4] or '0', returned, counts[6] or '',
    counts[7] or '',
  }
end

for i = 6, #ARGV, 3 do
  answer[#answer + 1] = claim(ARGV[i], ARGV[i + 1], ARGV[i + 2])
end
return answer
