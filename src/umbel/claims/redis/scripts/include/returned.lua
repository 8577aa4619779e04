-- includes: keep
-- returned: note that a job was handed out before, nothing charged; a mark was for the delivery that ends here.
local function returned(prefix, id)
  keep(prefix, id, 0, 'place', 'ready', 'marked', '0')
end
