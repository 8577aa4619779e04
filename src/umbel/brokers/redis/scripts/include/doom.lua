-- A job's counts are the text "retries:crashes:losses:[doom]mark": the doom is a word, the mark q (about to start alone) or -.
-- doom: the doom in such a text; "" for none, or no text.
local function doom(counts)
  return counts and string.match(counts, '(%a+).$') or ''
end
