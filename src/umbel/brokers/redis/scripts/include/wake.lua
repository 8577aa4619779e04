-- wake: leave a token for one idle receiver; a damaged list must not fail the caller, who has moved jobs already.
local function wake(prefix)
  if redis.pcall('LLEN', prefix .. 'wake') == 0 then
    redis.pcall('RPUSH', prefix .. 'wake', 1)
  end
end
