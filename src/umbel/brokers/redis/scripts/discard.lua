#!lua flags=allow-oom
-- discard: delete dead letters; their records stay.
-- KEYS[1] jobs   ARGV prefix now id*
-- Answer: per id 1 if it was a dead letter, else 0
-- includes: forget
local prefix, answer, ids = ARGV[1], {}, {}
redis.call('HDEL', prefix .. 'meta', '') -- before 7.0 a full server runs a script whose first write is of this kind
for i, score in ipairs(redis.call('ZMSCORE', prefix .. 'dead', unpack(ARGV, 3))) do
  local id = ARGV[i + 2]
  answer[i] = score and not ids[id] and 1 or 0
  if answer[i] == 1 then
    ids[id] = true
    ids[#ids + 1] = id
  end
end
if #ids > 0 then
  forget(prefix, ids)
end
return answer
