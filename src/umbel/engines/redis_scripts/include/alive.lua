-- alive: whether a session is open. Its score is its deadline; once it was declared dead, 0 or less.
local function alive(prefix, session)
  local deadline = redis.call('ZSCORE', prefix .. 'sessions', session)
  return deadline and tonumber(deadline) > 0
end
