#!lua flags=no-writes
-- limits: a page of the limits that have jobs or an adjustment.
-- KEYS[1] jobs   ARGV prefix now after limit   after: a name, or empty
-- Answer: per limit {name, pace | nil, adjusted pace | nil, held, out, entered, turns}; see limiting
local prefix, after, answer = ARGV[1], ARGV[3], {}
local first = after == '' and '-' or '(' .. after
for _, name in ipairs(redis.call('ZRANGE', prefix .. 'limits', first, '+', 'BYLEX', 'LIMIT', 0, ARGV[4])) do
  local length, from = string.match(name, '^(%d+):()')
  local facts = redis.call('HMGET', prefix .. 'limit:' .. name, 'pace', 'held')
  answer[#answer + 1] = {
    name,
    facts[1],
    redis.call('HGET', prefix .. 'limits:adjusted', string.sub(name, from, from + length - 1)),
    tonumber(facts[2] or 0),
    redis.call('ZCOUNT', prefix .. 'runs:' .. name, '-inf', 0),
    redis.call('ZCOUNT', prefix .. 'runs:' .. name, 1, 1),
    redis.call('ZCARD', prefix .. 'turns:' .. name),
  }
end
return answer
