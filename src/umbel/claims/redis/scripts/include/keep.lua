-- keep: the hash of a job that came back, for so many milliseconds and a month; an end deletes it before.
local function keep(prefix, id, milliseconds, ...)
  redis.call('HSET', prefix .. 'j:' .. id, ...)
  redis.call('PEXPIRE', prefix .. 'j:' .. id, 2592000000 + milliseconds)
end
