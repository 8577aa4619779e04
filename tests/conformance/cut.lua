-- cut: a prelude for a script under test, which then fails before its write number CUT + 1, as a denied command
-- or a damaged key would make it. Lua has no rollback: what was written stays.
local CUT = 0
local WRITES = {
  DEL = 1, HDEL = 1, HSET = 1, HSETNX = 1, LPUSH = 1, LREM = 1, LSET = 1, LTRIM = 1, PERSIST = 1, PEXPIRE = 1,
  RPUSH = 1, SADD = 1, SET = 1, SREM = 1, UNLINK = 1, XADD = 1, XTRIM = 1, ZADD = 1, ZREM = 1,
}
local server, written = redis, 0
local function counted(how)
  return function(command, ...)
    if WRITES[command] then
      written = written + 1
      if written > CUT then
        error('CUT')
      end
    end
    return server[how](command, ...)
  end
end
local redis = { call = counted('call'), pcall = counted('pcall') }
