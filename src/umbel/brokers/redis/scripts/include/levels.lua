-- levels: the keys of the ready lists, most urgent first.
local levels = {}
for level = 0, 9 do
  levels[level + 1] = ARGV[1] .. 'ready:' .. level
end
