-- A job's counts are the text "retries:crashes:losses:[doom]mark". The doom is a word; the mark is q (about to start
-- alone), f (has counts for its doom alone, and was never handed out before) or -.
-- doom: the doom in such a text; "" for none, or no text.
local function doom(counts)
  return counts and string.match(counts, '(%a+).$') or ''
end
