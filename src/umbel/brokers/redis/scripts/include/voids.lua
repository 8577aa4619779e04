-- voids: which of the entries `ids`, read from the head of a ready list, are void: answers i -> true, and these ids.
-- `void` is a SET of jobs that were ready when they were revoked: one entry each in a ready list counts no more.
-- Nobody looks for an entry in a long list; whoever meets it drops it: first here, then there.
local function voids(prefix, ids)
  local found, names, once = {}, {}, {}
  for i, is_void in ipairs(redis.call('SMISMEMBER', prefix .. 'void', unpack(ids))) do
    if is_void == 1 and not once[ids[i]] then
      once[ids[i]] = true
      found[i] = true
      names[#names + 1] = ids[i]
    end
  end
  return found, names
end
