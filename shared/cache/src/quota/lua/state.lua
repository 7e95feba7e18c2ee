-- Reads, moves and writes the state of a subject. All numbers are whole and below 2^53.
--
-- A key holds the rule's windows: the time of its making (8 bytes), then for each window its period
-- (8 bytes) and
--   strict: number of the latest part (8 bytes), 13 counters (4 bytes each);
--   GCRA:   theoretical arrival time (8 bytes).
-- Windows are found by their period, so that a change of the limits keeps what was counted.
local SLOTS = 13
local RING = '<dd' .. string.rep('I4', SLOTS)
local MOST = 4294967295

local cursor = 0
local function text()
  cursor = cursor + 1
  return ARGV[cursor]
end
local function number()
  return tonumber(text())
end

-- The server's clock, unless a test brings its own.
local function time()
  local now = number()
  if now > 0 then
    return now
  end
  local server = redis.call('TIME')
  return server[1] * 1000000 + server[2]
end

local function slot(part)
  return part % SLOTS + 1
end

local function sum(window)
  local all = 0
  for i = 1, SLOTS do
    all = all + window.counts[i]
  end
  return all
end

-- Forgets the parts that are left behind. A clock that ran backwards a little stays in the latest
-- part; one that jumped back further than the ring is long starts over with everything in one part,
-- and says so, because that must be kept even if nothing is charged.
local function advance(window, now)
  local part = math.floor(now / window.step)
  local gone = part - window.part
  if gone < -SLOTS then
    local all = sum(window)
    for i = 1, SLOTS do
      window.counts[i] = 0
    end
    window.counts[slot(part)] = math.min(all, MOST)
    window.part = part
    return true
  elseif gone >= SLOTS then
    for i = 1, SLOTS do
      window.counts[i] = 0
    end
    window.part = part
  elseif gone > 0 then
    for step = 1, gone do
      window.counts[slot(window.part + step)] = 0
    end
    window.part = part
  end
end

-- How many of the oldest parts must be forgotten until at most `most` units are left.
local function parts_until(window, most)
  local left, parts = sum(window), 0
  while left > most and parts < SLOTS do
    parts = parts + 1
    left = left - window.counts[slot(window.part + parts)]
  end
  return parts
end

local function stored(value, period, strict)
  local at, size = 9, strict and 68 or 16
  while at + size - 1 <= #value do
    if struct.unpack('<d', value, at) == period then
      return at
    end
    at = at + size
  end
  return nil
end

-- One rule per key, as the arguments describe it: what the caller knows of the key's making, the
-- number of windows, and for each its period, step (part or emission, microseconds), limit, burst.
local function rules(strict, now)
  local all = {}
  for index, key in ipairs(KEYS) do
    local known, count = number(), number()
    local value = redis.call('GET', key)
    local rule = { key = key, known = known, born = now, fresh = true, windows = {} }
    if value and #value >= 8 then
      rule.born, rule.fresh = struct.unpack('<d', value), false
    end
    for i = 1, count do
      local window = { period = number(), step = number(), limit = number(), burst = number() }
      local at = value and stored(value, window.period, strict)
      if strict then
        window.part, window.counts = math.floor(now / window.step), {}
        for n = 1, SLOTS do
          window.counts[n] = 0
        end
        if at then
          local read = { struct.unpack(RING, value, at) }
          window.part = read[2]
          for n = 1, SLOTS do
            window.counts[n] = read[n + 2]
          end
          rule.moved = advance(window, now) or rule.moved
        end
      else
        window.tat = at and struct.unpack('<d', value, at + 8) or 0
        -- Ahead by more than it can be: the clock was set back.
        local furthest = now + window.step * window.burst + window.period
        if window.tat > furthest then
          window.tat, rule.moved = furthest, true
        end
      end
      rule.windows[i] = window
    end
    all[index] = rule
  end
  return all
end

-- Keeps a rule until nothing of it counts any more, and a part longer: what replicas remember of it, by
-- clocks of their own, has ended by then, and they do not take its end for a loss.
local function write(rule, strict, now)
  local parts, alive = { struct.pack('<d', rule.born) }, 0
  for i, window in ipairs(rule.windows) do
    if strict then
      parts[i + 1] = struct.pack(RING, window.period, window.part, unpack(window.counts))
      alive = math.max(alive, (window.part + SLOTS + 1) * window.step - now)
    else
      parts[i + 1] = struct.pack('<dd', window.period, window.tat)
      alive = math.max(alive, math.max(window.tat - now, 0) + window.period * 7 / 6)
    end
  end
  redis.call('SET', rule.key, table.concat(parts), 'PX', math.max(1, math.ceil(alive / 1000)))
end

local function debit(window, strict, now, units)
  if strict then
    local at = slot(window.part)
    window.counts[at] = math.min(MOST, window.counts[at] + units)
  else
    window.tat = math.max(window.tat, now) + window.step * units
  end
end

-- Units that could be charged now.
local function free(window, strict, now)
  if strict then
    return math.max(0, window.limit - sum(window))
  end
  local ahead = math.max(window.tat, now) - now
  return math.floor(math.max(0, window.step * window.burst - ahead) / window.step)
end

-- Time until all of it is free again.
local function reset(window, strict, now)
  if strict then
    if sum(window) == 0 then
      return 0
    end
    return math.max(0, (window.part + parts_until(window, 0)) * window.step - now)
  end
  return math.max(0, window.tat - now)
end
