-- Gives back units of an earlier charge. ARGV: now, algorithm, time of the charge, units, then the
-- rules. A strict window gives back to the part that was charged, if it is still remembered; GCRA
-- gives back what has not refilled meanwhile.
local now = time()
local strict = text() == 's'
local charged_at, units = number(), number()
local all = rules(strict, now)
if not strict then
  local refilled = 0
  for _, rule in ipairs(all) do
    for _, window in ipairs(rule.windows) do
      refilled = math.max(refilled, math.ceil(math.max(0, now - charged_at) / window.step))
    end
  end
  units = math.max(0, units - refilled)
end
for _, rule in ipairs(all) do
  -- Nothing to give back to a state that was made after the charge.
  if not rule.fresh and rule.born <= charged_at then
    for _, window in ipairs(rule.windows) do
      if strict then
        local part = math.floor(charged_at / window.step)
        if part <= window.part and window.part - part < SLOTS then
          local at = slot(part)
          window.counts[at] = math.max(0, window.counts[at] - units)
        end
      else
        window.tat = math.max(0, window.tat - window.step * units)
      end
    end
    write(rule, strict, now)
  end
end
return units
