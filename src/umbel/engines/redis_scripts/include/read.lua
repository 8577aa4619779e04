-- read: the state of a node, "members added joined failed first sent jobs". See open.
local function read(text)
  local state = { string.match(text, '^(%d+) (%d+) (%d+) (%d+) (%-?%d+) (%d) (.*)$') }
  return tonumber(state[1]), tonumber(state[2]), tonumber(state[3]), tonumber(state[4]), state[5], state[6], state[7]
end
