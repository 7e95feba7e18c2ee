-- Tells that a replica lives, and counts those that do. KEYS: the replicas. ARGV: name, lifetime (ms),
-- 1 to stay or 0 to leave. Answers how many live.
local server = redis.call('TIME')
local now = server[1] * 1000 + math.floor(server[2] / 1000)
local lifetime = tonumber(ARGV[2])
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', now - lifetime)
-- After the clock was set back: marks from the future would live too long.
redis.call('ZREMRANGEBYSCORE', KEYS[1], now + lifetime, '+inf')
if ARGV[3] == '1' then
  redis.call('ZADD', KEYS[1], now, ARGV[1])
  redis.call('PEXPIRE', KEYS[1], lifetime * 2)
else
  redis.call('ZREM', KEYS[1], ARGV[1])
end
return redis.call('ZCARD', KEYS[1])
