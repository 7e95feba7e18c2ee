-- Charges all windows of all keys, or none. ARGV: now (0: the server's), algorithm (`s` or `g`),
-- the moment after which the caller does not wait any more (0: none), least and most units, then the
-- rules.
--
-- Answers a flat array: code (1 charged, 0 denied, 2 the state is not the one that the caller knows,
-- 3 too late), the window that makes the caller wait longest, its wait in microseconds (-1: never), units charged,
-- now, then per rule the time of its making, then per window what is free and the time until all is.
local now = time()
local strict = text() == 's'
local deadline, least, most = number(), number(), number()
-- What lay in the buffers of a server that was frozen must not be charged long after.
if deadline > 0 and now > deadline then
  return { 3, 0, 0, 0, now }
end
local all = rules(strict, now)

for _, rule in ipairs(all) do
  if rule.known > 0 and rule.known ~= rule.born then
    return { 2, 0, 0, 0, now }
  end
end

local worst, longest, position, granted = nil, 0, 0, most
for _, rule in ipairs(all) do
  for _, window in ipairs(rule.windows) do
    local left = free(window, strict, now)
    granted = math.min(granted, left)
    if left < least then
      local wait
      if strict then
        local rest = window.limit - least
        wait = rest < 0 and -1
          or math.max(0, (window.part + parts_until(window, rest)) * window.step - now)
      else
        wait = least > window.burst and -1
          or math.max(window.tat, now) + window.step * (least - window.burst) - now
      end
      if worst == nil or (longest >= 0 and (wait < 0 or wait > longest)) then
        worst, longest = position, wait
      end
    end
    position = position + 1
  end
end

local reply = { 1, 0, 0, granted, now }
if worst then
  reply[1], reply[2], reply[3], reply[4] = 0, worst, longest, 0
  for _, rule in ipairs(all) do
    if rule.moved then
      write(rule, strict, now)
    end
  end
elseif granted > 0 then
  for _, rule in ipairs(all) do
    for _, window in ipairs(rule.windows) do
      debit(window, strict, now, granted)
    end
    write(rule, strict, now)
  end
end
for _, rule in ipairs(all) do
  -- A key that was not written has no making that could be remembered.
  reply[#reply + 1] = (rule.fresh and reply[4] == 0) and 0 or rule.born
end
for _, rule in ipairs(all) do
  for _, window in ipairs(rule.windows) do
    reply[#reply + 1] = free(window, strict, now)
    reply[#reply + 1] = reset(window, strict, now)
  end
end
return reply
