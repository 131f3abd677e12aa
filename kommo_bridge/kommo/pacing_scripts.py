"""What the pacer does in Redis, each in one step."""

# KEYS: the account's slots in use (name: when it is free, in ms), its line (caller: when it is to
# come back), its pause, the pause of all, the block, the probe.
# ARGV: name of the slot, who asks ('' for somebody who does not come back), number of slots, how
# long a call holds one at most, the longest wait, how long a caller in the line keeps its place
# after its time, how far apart the callers are to come, the latest, whether this call may be a
# probe, the soonest.
# Returns whether it is booked, the wait in ms, and whether it is the probe.
BOOK = """
local in_use, line, probe = KEYS[1], KEYS[2], KEYS[6]
local name, waiter, slots, hold = ARGV[1], ARGV[2], tonumber(ARGV[3]), tonumber(ARGV[4])
local longest, grace, spread = tonumber(ARGV[5]), tonumber(ARGV[6]), tonumber(ARGV[7])
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
redis.call('ZREMRANGEBYSCORE', in_use, '-inf', now)
redis.call('ZREMRANGEBYSCORE', line, '-inf', now - grace)

-- Before me: those with an earlier place, or, while I have none, those whose time has come.
local place = waiter ~= '' and redis.call('ZSCORE', line, waiter)
local before = redis.call('ZCOUNT', line, '-inf', place and '(' .. place or now)

-- The slot that is mine when each of those has taken one: a free one, or one that comes free.
local unused = slots - redis.call('ZCARD', in_use)
local start, taken = now, nil
if before >= unused then
  local coming = redis.call('ZRANGE', in_use, before - unused, before - unused, 'WITHSCORES')
  taken, start = coming[1], tonumber(coming[2] or now + longest + 1)
end
local paused = math.max(redis.call('PTTL', KEYS[3]), redis.call('PTTL', KEYS[4]), 0)
start = math.max(start, now + paused)

local probing, possible = false, start - now <= longest
local blocked = redis.call('EXISTS', KEYS[5]) == 1
if possible and blocked then
  probing = ARGV[9] == '1' and redis.call('EXISTS', probe) == 0
  possible = probing
end
if possible then
  if taken then redis.call('ZREM', in_use, taken) end
  redis.call('ZADD', in_use, start + hold, name)
  redis.call('PEXPIRE', in_use, start - now + 2 * hold)
  if probing then redis.call('SET', probe, name, 'PX', start - now + hold) end
  if waiter ~= '' then redis.call('ZREM', line, waiter) end
  return {1, start - now, probing and 1 or 0}
end

-- Not now: each caller in the line gets its own time, the earlier the longer it has waited.
local position = place and before or redis.call('ZCARD', line)
local soonest = math.max(paused, blocked and longest or tonumber(ARGV[10]))
local wait = soonest + math.min(position * spread, tonumber(ARGV[8]))
if waiter ~= '' then
  redis.call('ZADD', line, now + wait, waiter)
  redis.call('PEXPIRE', line, math.max(redis.call('PTTL', line), wait + 2 * grace))
end
return {0, wait, 0}
"""

# KEYS: the account's slots in use, the probe. ARGV: name of the slot, how long it rests in ms
# (negative: no call was made, so it is as free as it was), how long it was held at most.
RELEASE = """
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local held = redis.call('ZSCORE', KEYS[1], ARGV[1])
if held then
  local rest = tonumber(ARGV[2])
  local free = rest < 0 and held - ARGV[3] or now + rest
  redis.call('ZADD', KEYS[1], free, ARGV[1])
end
if redis.call('GET', KEYS[2]) == ARGV[1] then redis.call('DEL', KEYS[2]) end
"""

# KEYS: a pause. ARGV: why, ms. Calls that were under way together bring answers that differ.
PAUSE = """
if redis.call('PTTL', KEYS[1]) < tonumber(ARGV[2]) then
  redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
end
"""
