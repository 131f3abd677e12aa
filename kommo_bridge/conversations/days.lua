-- Counts one answered turn: a new conversation of its day, or one more turn of the one under way.
--
-- KEYS: the conversation's last visit, and today's counters
-- ARGV: now, today, the seconds that end a visit, the seconds in which a customer may return,
--       1 when the assistant did not answer alone, what stands before a day in a counters' key,
--       the seconds that counters are kept
local now, today, over, returns, helped = tonumber(ARGV[1]), ARGV[2], tonumber(ARGV[3]), ARGV[4], ARGV[5]
local day, last, alone = unpack(redis.call('HMGET', KEYS[1], 'day', 'last', 'alone'))

local function count(key, field, by)
    redis.call('HINCRBY', key, field, by)
    redis.call('EXPIRE', key, ARGV[7])
end

local function not_alone()
    if alone == '1' and redis.call('EXISTS', ARGV[6] .. day) == 1 then
        count(ARGV[6] .. day, 'alone', -1)
    end
    alone = '0'
end

if not day then
    count(KEYS[2], 'conversations', 1)
    count(KEYS[2], 'alone', 1)
    day, alone = today, '1'
elseif now - tonumber(last) > over then
    not_alone()  -- the customer has returned
    count(KEYS[2], 'conversations', 1)
    count(KEYS[2], 'alone', 1)
    day, alone = today, '1'
end
if helped == '1' then
    not_alone()
end
redis.call('HSET', KEYS[1], 'day', day, 'last', ARGV[1], 'alone', alone)
redis.call('EXPIRE', KEYS[1], returns)
