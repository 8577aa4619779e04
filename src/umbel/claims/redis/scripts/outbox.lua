#!lua flags=allow-oom
-- outbox: the next jobs that lie in the outbox of a queue, for whoever sends them on: one at a time, so that they go in order.
-- KEYS[1] holders   ARGV prefix now sender limit room pump id*
--   limit  most jobs that are answered, or about `room` bytes; 0 for a sender that goes no further
--   pump   if none is left: how many jobs of nodes that have opened are put there    id  was sent, and is taken out
-- Answer: {ms, (id text)*}   ms: so long somebody else sends, and nothing is answered. Without a job the sender has gone.
-- includes: now pump
local prefix, sender, limit, room = ARGV[1], ARGV[3], tonumber(ARGV[4]), tonumber(ARGV[5])
local outbox, order, sending, SENDER_MS = prefix .. 'outbox', prefix .. 'outbox:order', prefix .. 'outbox:sender', 5000
redis.call('HDEL', prefix .. 'meta', '') -- before 7.0 a full server runs a script whose first write is of this kind
if #ARGV > 6 then
  redis.call('HDEL', outbox, unpack(ARGV, 7))
  redis.call('ZREM', order, unpack(ARGV, 7))
end
local known = redis.call('HMGET', sending, 'name', 'until')
local left = tonumber(known[2] or 0) - now
if known[1] ~= sender and left > 0 and left <= SENDER_MS then
  return { left }
end
if tonumber(ARGV[6]) > 0 and redis.call('EXISTS', order) == 0 then
  pump(prefix .. 'posting', tonumber(ARGV[6]))
end
local answer = { 0 }
while limit > 0 and room > 0 do
  local first = (#answer - 1) / 2
  local ids = redis.call('ZRANGE', order, first, first + math.min(16, limit) - 1)
  if #ids == 0 then
    break
  end
  for i, text in ipairs(redis.call('HMGET', outbox, unpack(ids))) do
    answer[#answer + 1] = ids[i]
    answer[#answer + 1] = text or ''
    room, limit = room - #(text or ''), limit - 1
  end
end
if #answer > 1 then
  redis.call('HSET', sending, 'name', sender, 'until', now + SENDER_MS)
else
  redis.call('DEL', sending)
end
return answer
