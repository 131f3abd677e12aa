-- Queue one widget request: everything that has to happen together, in one atomic round trip.
-- Returns {'repeat'}, {'limited', seconds} or {'queued'}. Called by enqueue.py, in this order.
local record_key, job_key, rate_key, limit_key, allowed_key, held_back_key, texts_key, open_key,
  queue_key, queues_key, limits_key, workers_key, versions_key, share_key,
  entity_rate_key, bytes_key = unpack(KEYS)
local job_id, request, record_seconds, sweep_seconds, now, integration, text, widget_version,
  data, description, moment,
  rate_count, rate_seconds, entity_count, max_bytes,
  concurrency, texts_seconds, job_seconds = unpack(ARGV)
local shared_fields = {unpack(ARGV, 19)}

-- A repeat is recognised by the record, which outlives the job.
if redis.call('HSETNX', record_key, 'request', request) == 0 then return {'repeat'} end

-- The seconds to wait when a counter is above its limit, otherwise false.
local function over(key, amount, limit, seconds)
  local used = redis.call('INCRBY', key, amount)
  if used == amount then redis.call('EXPIRE', key, seconds) end
  return used > tonumber(limit) and math.max(1, redis.call('TTL', key))
end

-- The entity's own limit first: a flood from one customer, or requests made with a token that
-- somebody has seen, use up their own share and not the integration's limit.
local wait = over(entity_rate_key, 1, entity_count, rate_seconds)
  or over(rate_key, 1, rate_count, rate_seconds)
  or over(bytes_key, #request + #text + #data, max_bytes, rate_seconds)
if wait then
  redis.call('DEL', record_key)
  return {'limited', wait}
end
redis.call('EXPIRE', record_key, record_seconds)

-- Redis' own clock: those of web and workers need not agree.
local time = redis.call('TIME')
redis.call('ZADD', open_key, time[1] + sweep_seconds, job_id)

-- How many jobs of an integration may run at once: its share as our workers keep it (shares.py),
-- otherwise from the number of plain RQ workers. Read once a second.
local at_once, looked_at = unpack(redis.call('HMGET', limit_key, 'concurrency', 'looked_at'))
if looked_at ~= time[1] then
  at_once = redis.call('GET', share_key)
  if not at_once then
    local workers = redis.call('SMEMBERS', workers_key)
    local alive = #workers > 0 and redis.call('EXISTS', unpack(workers)) or 0
    at_once = concurrency * math.max(1, alive)
  end
  redis.call('HSET', limit_key, 'concurrency', at_once, 'looked_at', time[1])
  redis.call('SADD', limits_key, integration)
  redis.call('SADD', queues_key, queue_key)
  if widget_version ~= '' then redis.call('HSET', versions_key, integration, widget_version) end
end

-- The text waits for its conversation's next turn; the number gives the order of arrival.
local number = string.format('%.0f', time[1] * 1000000 + time[2])
redis.call('HSET', texts_key, job_id, number .. '|' .. text)
redis.call('EXPIRE', texts_key, texts_seconds)

-- RQ's own rate limit: its worker starts the next job of an integration when one has ended.
local status = 'rate_limited'
if redis.call('ZCARD', held_back_key) == 0
  and redis.call('ZCARD', allowed_key) < tonumber(at_once) then
  status = 'queued'
  redis.call('ZADD', allowed_key, now, job_id)
  redis.call('RPUSH', queue_key, job_id)
else
  redis.call('ZADD', held_back_key, now, job_id)
end

redis.call('HSET', job_key, 'status', status, 'rate_limit_concurrency', at_once,
  'rate_limit_key', integration, 'data', data, 'description', description,
  'created_at', moment, 'enqueued_at', moment, unpack(shared_fields))
redis.call('EXPIRE', job_key, job_seconds)
return {'queued'}
