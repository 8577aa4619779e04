-- now: milliseconds since 1970 on this server's clock, or on the clock of a test in ARGV[2].
local now = tonumber(ARGV[2])
if not now then
  local time = redis.call('TIME')
  now = time[1] * 1000 + math.floor(time[2] / 1000)
end
