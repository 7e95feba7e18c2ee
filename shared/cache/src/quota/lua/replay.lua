-- Adds what a replica admitted by itself. ARGV: now, algorithm, epoch, lifetime of the epoch (ms), then
-- the rules; then, for each window of each rule, a list of what the state lacks if it is the one that
-- the replica knows, and a list of all that it ever admitted in case it is not. A list is its length and
-- pairs of age (microseconds) and units, oldest first. The last key remembers the epoch, so that a
-- replay whose answer was lost is not added twice.
--
-- Answers 1, or 0 when the epoch was known, and the time of each rule's making.
local now = time()
local strict = text() == 's'
local epoch, lifetime = number(), number()
local mark = table.remove(KEYS)
local all = rules(strict, now)
local reply = { 1 }
if tonumber(redis.call('GET', mark) or '-1') >= epoch then
  reply[1] = 0
end

local function list()
  local pairs_of, count = {}, number()
  for i = 1, count do
    pairs_of[i] = { number(), number() }
  end
  return pairs_of
end

for _, rule in ipairs(all) do
  local known = rule.known > 0 and rule.known == rule.born and not rule.fresh
  for _, window in ipairs(rule.windows) do
    local lacking, whole = list(), list()
    for _, entry in ipairs(known and lacking or whole) do
      local then_ = math.max(0, now - entry[1])
      if strict then
        local part = math.min(window.part, math.floor(then_ / window.step))
        if window.part - part < SLOTS then
          local at = slot(part)
          window.counts[at] = math.min(MOST, window.counts[at] + entry[2])
        end
      else
        debit(window, strict, then_, entry[2])
      end
    end
  end
  if reply[1] == 1 then
    write(rule, strict, now)
  end
  reply[#reply + 1] = (reply[1] == 0 and rule.fresh) and 0 or rule.born
end
if reply[1] == 1 then
  redis.call('SET', mark, epoch, 'PX', lifetime)
end
return reply
