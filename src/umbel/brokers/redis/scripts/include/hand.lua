-- includes: accept post
-- hand: jobs, words (id level at envelope)*, to their queue; `at` in ms, 0 at once, below 0 from now on.
-- J: place is the prefix of that queue | O: its name, and the jobs are left in the outbox of `home`
local function hand(home, kind, place, words)
  if kind == 'J' then
    return accept(place, words, 1)
  end
  for i = 1, #words, 4 do
    post(home, place, words[i], words[i + 1], tonumber(words[i + 2]), words[i + 3])
  end
end
