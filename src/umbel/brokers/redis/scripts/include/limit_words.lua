-- limit_words: how what is kept of limits is read and written. Made where it is needed, as the other parts of limiting.
local function limit_words()
  -- A command on a key, with many words.
  local function in_pieces(command, key, words)
    local sum = 0
    for at = 1, #words, 1000 do
      sum = sum + redis.call(command, key, unpack(words, at, math.min(at + 999, #words)))
    end
    return sum
  end

  local function add(list, one, two)
    list[#list + 1] = one
    list[#list + 1] = two
  end

  local function write_text(place, level, retries, limit, turn)
    return place .. level .. retries .. ':' .. #limit.name .. ':' .. limit.name .. turn
  end

  local function read_text(text)
    local place, level, retries, length, from = string.match(text, '^(%a)(%d)(%d+):(%d+):()')
    local turn = from + length
    return place, level, tonumber(retries), string.sub(text, from, turn - 1), string.sub(text, turn)
  end

  return in_pieces, add, write_text, read_text
end
