-- alive: whether a session is open. Its score is its deadline, 0 once it was declared dead.
local function alive(prefix, session)
  local deadline = redis.call('ZSCORE', prefix .. 'sessions', session)
  return deadline and tonumber(deadline) > 0
end
