-- includes: now alive keep
-- settling: a whole settle; see settle. `flows` carries out the operations on flows that it names, each answers where the
-- next one begins, and `done` when all verdicts are known: before anything that was held is let go.
local function settling(flows)
  local prefix, session, records, channel = ARGV[1], ARGV[3], ARGV[4], ARGV[5]
  local holders, held = prefix .. 'holders', prefix .. 'held:' .. session
  local WEEK_MS, DAY_MS = 604800000, 86400000
  local open = alive(prefix, session)

  local function finish(id, record, ttl)
    local job = prefix .. 'j:' .. id
    if redis.call('HEXISTS', job, 'copies') == 1 then
      ttl = math.max(tonumber(ttl), DAY_MS) -- another message may come late
    end
    redis.call('SET', records .. id, record, 'NX', 'PX', ttl)
    redis.call('PUBLISH', channel .. id, record)
    redis.call('DEL', job)
  end

  local function again(id, place, delay, generation, counts)
    local retries, crashes, losses = string.match(counts, '^(%d+):(%d+):(%d+)$')
    keep(prefix, id, tonumber(delay), 'generation', generation, 'place', place, 'retries', retries, 'crashes', crashes,
      'losses', losses, 'marked', '0')
    redis.call('HDEL', prefix .. 'j:' .. id, 'envelope') -- the message that is published has it
  end

  local carry = {
    ['end'] = function(id, record, ttl)
      finish(id, record, ttl)
    end,
    dead = function(id, record, ttl)
      redis.call('ZADD', prefix .. 'dead', now, id)
      finish(id, record, ttl)
    end,
    retry = function(id, _, delay, generation, counts)
      again(id, tonumber(delay) > 0 and 'delayed' or 'ready', delay, generation, counts)
    end,
    park = function(id, task, _, generation, counts)
      redis.call('HINCRBY', prefix .. 'parked', task, 1)
      again(id, 'parked', 0, generation, counts)
    end,
    release = function(id)
      keep(prefix, id, 0, 'place', 'ready', 'marked', '0')
    end,
  }

  local answer, ours, seen, at = {}, {}, {}, 7 + 9 * tonumber(ARGV[6])
  redis.call('HDEL', prefix .. 'meta', '') -- before 7.0 a full server runs a script whose first write is of this kind
  for i = 7, at - 1, 9 do
    local id, number, kind, parcel = ARGV[i], ARGV[i + 1], ARGV[i + 2], ARGV[i + 7]
    local mine = open and not seen[id] and redis.call('HGET', holders, id) == session .. ':' .. number
    if mine then
      if parcel ~= '' then
        redis.call('SET', prefix .. 'parcel:' .. id, parcel, 'PX', WEEK_MS)
      end
      carry[kind](id, ARGV[i + 3], ARGV[i + 4], ARGV[i + 5], ARGV[i + 6])
      seen[id] = true
      ours[#ours + 1] = id
    end
    for _ = 1, tonumber(ARGV[i + 8]) do
      at = flows[ARGV[at]](at, mine)
    end
    answer[#answer + 1] = mine and 1 or 0
  end
  if flows then
    flows.done()
  end
  if #ours > 0 then
    redis.call('HDEL', holders, unpack(ours))
    redis.call('HDEL', held, unpack(ours))
  end
  local old = redis.call('ZRANGE', prefix .. 'dead', '-inf', now - 2592000000, 'BYSCORE', 'LIMIT', 0, 100)
  if #old > 0 then
    redis.call('ZREM', prefix .. 'dead', unpack(old))
  end
  return answer
end
