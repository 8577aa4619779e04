#!lua
-- flow_more: members beyond the first ones that brought something before the start of a flow, in order. See open.
-- KEYS[1] jobs   ARGV prefix now flow (node:member)*   the member in 16 digits
-- Answer: 1 | 0 it is started already. It expires in an hour if nobody goes on.
local more, words, STORED_MS = ARGV[1] .. 'flow-more:' .. ARGV[3], {}, 3600000
if redis.call('HEXISTS', ARGV[1] .. 'flow:' .. ARGV[3], 'created') == 1 then
  return 0
end
for i = 4, #ARGV do
  words[#words + 1] = 0
  words[#words + 1] = ARGV[i]
end
redis.call('ZADD', more, unpack(words))
redis.call('PEXPIRE', more, STORED_MS)
return 1
