#!lua flags=allow-oom
-- doom: jobs that must not run any more; also such as nobody received yet.
-- KEYS[1] holders   ARGV prefix now records known(1|0) id*   known: only jobs that somebody received
-- Answer: per id where it is, '' if nobody received it. One that has ended or is dead is only told of.
-- includes: keep
local prefix, records, known, answer = ARGV[1], ARGV[3], ARGV[4] == '1', {}
redis.call('HDEL', prefix .. 'meta', '') -- before 7.0 a full server runs a script whose first write is of this kind
for i = 5, #ARGV do
  local id = ARGV[i]
  local held, place = redis.call('HEXISTS', KEYS[1], id) == 1, nil
  if redis.call('ZSCORE', prefix .. 'dead', id) then
    place = 'dead'
  elseif redis.call('EXISTS', records .. id) == 1 then
    place = 'ended'
  else
    place = held and 'running' or redis.call('HGET', prefix .. 'j:' .. id, 'place') or ''
    if not (known and place == '') and redis.call('HEXISTS', prefix .. 'j:' .. id, 'doom') == 0 then
      keep(prefix, id, 0, 'doom', 'revoked')
    end
  end
  answer[#answer + 1] = place
end
return answer
