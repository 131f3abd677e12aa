-- One conversation: take or keep its lock, change it, and read it, in one step.
--
-- Only the holder of the lock may change the conversation, and only a look takes the lock. A job
-- that runs again after a crash takes over the lock of its own earlier run, whose changes are then
-- refused. It waits until that run has been silent as long as a dead one would have been: two runs
-- that live would take it from each other. The sweep never does, since the job may be running well.
-- The keys of the records follow from the conversation's texts and cannot be declared: Redis
-- Cluster is not supported.
local lock, texts, turns, pause, no_text, tagged, hour, day, month, record, open = unpack(KEYS)
local token, hold, looks, owner, silent_for, job, records, person, first, number, text, silent_only,
  commands = unpack(ARGV)
local time = redis.call('TIME')

-- The lock holds a token and when it was last renewed; version 1.0 wrote the bare id of the job.
local value = redis.call('GET', lock)
local held, renewed_at = string.match(value or '', '^(.*)|(%d+)$')
local own_earlier_run = owner ~= '' and value and (value == job or (held
  and string.sub(held, 1, #owner) == owner and time[1] - renewed_at >= tonumber(silent_for)))
local mine = held == token
if mine or (looks ~= '' and (not value or own_earlier_run)) then
  redis.call('SET', lock, token .. '|' .. time[1], 'PX', hold)
  mine = true
end

if first ~= '' then
  redis.call('HSETNX', record, 'request', first)
  local state, reported, error, outcome = unpack(
    redis.call('HMGET', record, 'state', 'reported', 'error', 'outcome'))
  -- Version 1.0 noted no error.
  if state == 'given_up' and (reported or not error) and outcome and owner ~= '' then
    -- An operator has requeued the job: the kept reply is tried again, as if just written.
    redis.call('HDEL', record, 'state', 'reported', 'error', 'uncertain', 'failures', 'next_at',
      'called_at')
    redis.call('ZADD', open, time[1], job)
    number, state = string.format('%.0f', time[1] * 1000000 + time[2]), nil
  end
  if not state and redis.call('HSETNX', texts, job, number .. '|' .. text) == 1 and outcome then
    redis.call('HSET', record, 'settled', '1')
  end
end

local paused = redis.call('EXISTS', pause)
local kept = 0
if mine and (silent_only == '' or paused == 0) then
  local ended = false
  for _, command in ipairs(cjson.decode(commands)) do
    if command[1] == 'OF' then
      -- The next commands change this record; a request that has ended does not change again.
      ended = command[2] ~= '' and redis.call('HEXISTS', command[2], 'state') == 1
    elseif not ended then
      redis.call(unpack(command))
    end
  end
  paused = redis.call('EXISTS', pause)
  kept = 1
end

local found = redis.call('HGETALL', texts)
local states = {}
for place = 1, #found, 2 do
  states[#states + 1] = redis.call('HMGET', records .. found[place], 'request', 'state', 'outcome',
    'uncertain', 'failures', 'next_at', 'called_at', 'plain', 'settled')
end
local marks = {paused, redis.call('EXISTS', no_text), redis.call('GET', tagged)}
local counted = {redis.call('GET', hour), redis.call('HGET', day, 'replies'),
  redis.call('HGET', day, 'tokens'), redis.call('HGET', month, 'tokens'),
  redis.call('HGET', day, 'millionths'), redis.call('HGET', month, 'millionths')}
local own = redis.call('HMGET', record, 'state', 'error', 'reported', 'attempts')
return {mine and 1 or 0, kept, tonumber(time[1]), tonumber(time[2]), marks, counted, own,
  redis.call('HGET', turns, person), found, states}
