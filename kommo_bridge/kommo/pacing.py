"""Never faster than Kommo allows, per account, over all workers and machines.

https://developers.kommo.com/docs/limitations: 7 requests per second, 429 above, and 403 on
everything for an address that goes on. Each call books a slot in Redis, which keeps the last
booked slots of an account: no window of a second ever holds more than six. Redis' own clock
serves all machines.
"""

from redis import Redis

from kommo_bridge.redis_client import PREFIX

CALLS_PER_SECOND = 6
# A little over a second: the network may bring calls closer together than they left.
WINDOW_SECONDS = 1.05
MAX_BOOKED_WAIT_SECONDS = 2.0
# How long after a 429 a 403 is read as Kommo's block rather than as a missing right.
BLOCK_MEMORY_SECONDS = 3600

# KEYS: booked slots, pause of the account, pause of all.
# ARGV: calls per window, the window in ms, the longest wait in ms.
# Returns the wait in ms; a wait longer than allowed is told, not booked.
RESERVE = """
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local newest = tonumber(redis.call('LINDEX', KEYS[1], 0) or 0)
local oldest = tonumber(redis.call('LINDEX', KEYS[1], ARGV[1] - 1) or -ARGV[2])
local slot = math.max(now, newest, oldest + ARGV[2])
for i = 2, 3 do
  local pause = redis.call('PTTL', KEYS[i])
  if pause > 0 then slot = math.max(slot, now + pause) end
end
local wait = slot - now
if wait <= tonumber(ARGV[3]) then
  redis.call('LPUSH', KEYS[1], string.format('%.0f', slot))
  redis.call('LTRIM', KEYS[1], 0, ARGV[1] - 1)
  redis.call('PEXPIRE', KEYS[1], wait + ARGV[2] + 1000)
end
return wait
"""

# KEYS: a pause. ARGV: why, ms. Calls that were under way together bring answers that differ.
PAUSE = """
if redis.call('PTTL', KEYS[1]) < tonumber(ARGV[2]) then
  redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
end
"""


class Pacer:
    """Books Kommo calls per account host."""

    def __init__(self, redis: Redis) -> None:
        self._redis = redis
        self._reserve = redis.register_script(RESERVE)
        self._prolong = redis.register_script(PAUSE)

    def reserve(self, host: str) -> tuple[float, bool]:
        """Book the next free call to an account.

        Returns:
            The seconds to wait for it, and whether it is booked: a wait of more than
            `MAX_BOOKED_WAIT_SECONDS` is not, so that no thread sleeps for long; ask again then.
        """
        milliseconds = int(
            self._reserve(
                keys=[self._slots(host), self._pause(host), self._pause("*")],
                args=[
                    CALLS_PER_SECOND,
                    int(WINDOW_SECONDS * 1000),
                    int(MAX_BOOKED_WAIT_SECONDS * 1000),
                ],
            )
        )
        return milliseconds / 1000, milliseconds <= MAX_BOOKED_WAIT_SECONDS * 1000

    def pause(self, host: str, seconds: float) -> None:
        """After a 429: nobody calls this account for that long, or longer if so it is already."""
        self._redis.set(self._limited(host), "1", ex=BLOCK_MEMORY_SECONDS)
        self._prolong(keys=[self._pause(host)], args=["429", max(1, int(seconds * 1000))])

    def pause_all(self, seconds: float) -> None:
        """After Kommo blocked our address: nobody calls any account for that long."""
        self._prolong(keys=[self._pause("*")], args=["403", max(1, int(seconds * 1000))])

    def was_limited(self, host: str) -> bool:
        """Whether this account answered 429 within the last hour."""
        return bool(self._redis.exists(self._limited(host)))

    @staticmethod
    def _slots(host: str) -> str:
        return f"{PREFIX}pacing:{host}:slots"

    @staticmethod
    def _pause(host: str) -> str:
        return f"{PREFIX}pacing:{host}:pause"

    @staticmethod
    def _limited(host: str) -> str:
        return f"{PREFIX}pacing:{host}:limited"
