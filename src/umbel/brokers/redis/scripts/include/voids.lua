-- voids: which of the entries `ids`, read from the head of a ready list, are void, as the SET `name` has it: i -> true.
-- `void` are the jobs that were ready when they were revoked: one entry each in a ready list counts no more.
-- Nobody looks for an entry in a long list; whoever meets it drops it: first here, then there.
-- `void:live` are those of them that have not ended, as long as a receiver could take such an entry for a job; it may hold
-- others. An id goes in there first, and `void` loses it first; so receivers need not ask while nothing is being revoked.
local function voids(prefix, ids, name)
  local found, once = {}, {}
  for i, is_void in ipairs(redis.call('SMISMEMBER', prefix .. (name or 'void'), unpack(ids))) do
    if is_void == 1 and not once[ids[i]] then
      once[ids[i]] = true
      found[i] = true
    end
  end
  return found
end
